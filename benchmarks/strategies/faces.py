"""Compares strategies where a training is real: the baseline's space on face images, the same wall clock for each.

  python -m benchmarks.strategies.faces --minutes 4 --seeds 3
  python -m benchmarks.strategies.faces --methods hyperband,random --images 2000 --minutes 1 --seeds 1  # a quick look

Best validation macro-F1 of any epoch so far, over seconds and over epochs trained. Anything else that the machine does
meanwhile spoils the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METHODS = ("hyperband", "bayesian", "random")
#: What keeps a strategy going until the time is over.
ENDLESS = {"bayesian": ("--max-trials", 1000), "random": ("--max-trials", 1000)}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.strategies.faces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", default=",".join(METHODS), metavar="A,B", help=f"({','.join(METHODS)})")
    parser.add_argument("--images", type=int, default=4000, metavar="N", help="of FER2013, or synthetic ones (4000)")
    parser.add_argument("--minutes", type=float, default=4.0, metavar="N", help="of wall clock for each search (4)")
    parser.add_argument("--max-epochs", type=int, default=9, metavar="N", help="epochs of a full training (9)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (3)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for faces.json and faces.png")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = options().parse_args(argv)
    from benchmarks.data import sample
    from tuning.core.files import write_json

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in args.methods.split(",")}
    with tempfile.TemporaryDirectory() as scratch:
        data = sample(Path(scratch) / "sample", args.images)
        for seed in range(args.seeds):
            for name in found:
                found[name].append(_searched(data, name, seed, args.max_epochs, 60 * args.minutes))
                print(f"{name}, seed {seed}: {found[name][-1]['best'][-1]:.3f}", file=sys.stderr, flush=True)
        about = {"minutes": args.minutes, "max_epochs": args.max_epochs, **data.to_json()}
    print(table(found, 60 * args.minutes))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / "faces.json", {**about, "methods": found})
        plot(
            found, 60 * args.minutes, f"{about['source']}, {about['images']['train']:,} images", args.out / "faces.png"
        )
    return 0


def _searched(data, name: str, seed: int, max_epochs: int, limit: float) -> dict[str, Any]:
    """Steps of the best score so far: `seconds` since the command, `epochs` trained by then, `best`."""
    from benchmarks.searches import our_search

    began = time.monotonic()
    endless = ENDLESS.get(name, ("--iterations", 100))
    search = our_search(
        data,
        f"{name}-{seed}",
        *("--strategy", name, "--seed", seed, "--max-epochs", max_epochs, *endless),
        enough=lambda trials: time.monotonic() - began > limit,
    )
    moments = sorted(
        (moment - search.began, entry["val_f1_macro"])
        for trial in search.trials
        for moment, entry in zip(trial.epoch_ends(), trial.curve, strict=True)
    )
    return {"trials": len(search.trials), **best_so_far([moment for moment in moments if moment[0] <= limit])}


def best_so_far(moments: Sequence[tuple[float, float]]) -> dict[str, list]:
    """Where (seconds, score), in the order of time, rises above all before."""
    steps: dict[str, list] = {"seconds": [], "epochs": [], "best": []}
    for epochs, (seconds, score) in enumerate(moments, start=1):
        if not steps["best"] or score > steps["best"][-1]:
            for key, value in (("seconds", seconds), ("epochs", epochs), ("best", score)):
                steps[key].append(value)
    return steps


def at(run: dict[str, Any], seconds: float) -> float:
    """The best score by then; 0 before the first."""
    return max((best for when, best in zip(run["seconds"], run["best"], strict=True) if when <= seconds), default=0.0)


def table(found: dict[str, list[dict[str, Any]]], limit: float) -> str:
    """Mean and range over seeds of the best score, at quarters of the time."""
    quarters = [limit * quarter / 4 for quarter in range(1, 5)]
    lines = [f"{'method':12s}" + "".join(f"{f'{moment:.0f} s':>22s}" for moment in quarters) + f"{'trials':>8s}"]
    for name, runs in found.items():
        cells = []
        for moment in quarters:
            scores = [at(run, moment) for run in runs]
            cells.append(f"{sum(scores) / len(scores):.3f} ({min(scores):.3f}-{max(scores):.3f})".rjust(22))
        lines.append(f"{name:12s}{''.join(cells)}{sum(run['trials'] for run in runs) / len(runs):8.0f}")
    return "\n".join(lines)


def plot(found: dict[str, list[dict[str, Any]]], limit: float, title: str, path: Path) -> None:
    """The mean over seeds of the best score over time, with the range, as a PNG."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tuning.core.files import replacing

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    moments = np.linspace(0, limit, 400)
    for name, runs in found.items():
        scores = np.array([[at(run, moment) for moment in moments] for run in runs])
        (line,) = axes.plot(moments, scores.mean(axis=0), label=name, linewidth=2.5 if name == "auto" else 1.4)
        axes.fill_between(moments, scores.min(axis=0), scores.max(axis=0), color=line.get_color(), alpha=0.1)
    axes.set(xlabel="seconds since the command", ylabel="best validation macro-F1 so far", title=title, xlim=(0, limit))
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


if __name__ == "__main__":
    sys.exit(main())
