"""Compares strategies with real trainings: the same space, images and time for each, one core per search.

python -m benchmarks.faces --root WORKSPACE --out DIR                # WORKSPACE holds a prepared data set

Our strategies run as `search --budget` with one worker and otherwise default options, finals included; Keras Tuner's
Hyperband is the script `plain_hyperband`, killed when the time is over. As many searches run side by side as there are
cores. The compared figure is the best validation macro-F1 of any epoch so far. A second call runs only searches whose
results are missing. DIR receives the workspaces, results.json and faces.png.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.processes import environment
from benchmarks.watching import JournalWatch
from tuning.core.files import write_json
from tuning.core.workspace import Workspace

METHODS = {
    "hyperband": ("--strategy", "hyperband"),
    "hyperband --sampler random": ("--strategy", "hyperband", "--sampler", "random"),
    "random": ("--strategy", "random"),
    "Keras Tuner Hyperband": None,
}
#: How long to wait for a killed process to end.
GRACE_SECONDS = 60
#: (seconds from the start to the end of an epoch, its validation macro-F1), ascending.
Curve = list[tuple[float, float]]


def started(command: Sequence[object], core: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a command on one core, in a process group of its own."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, *map(str, command)],
            env=environment(),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def ours(workspace: Workspace, options: Sequence[str], seed: int, minutes: float, core: int, folder: Path) -> Curve:
    """Run one of our searches with a budget, in a copy of the workspace."""
    own = Workspace(folder / "workspace")
    if not own.root.exists():
        shutil.copytree(workspace.root / "data", own.root / "data")
        shutil.copytree(workspace.split_manifest.parent, own.split_manifest.parent)
    watch = JournalWatch(own.search("faces") / "journal.jsonl", time.time)
    command = ["-m", "tuning.search", "--root", own.root, "--name", "faces", "--seed", seed, "--workers", 1, *options]
    began = time.time()
    process = started([*command, "--budget", f"{minutes:g}m"], core, folder)
    while process.poll() is None:
        watch.look()
        time.sleep(0.2)
    watch.look()
    if process.returncode:
        raise RuntimeError(f"{folder} ended with {process.returncode}; see its log.txt")
    return epochs_of(watch.records, began)


def epochs_of(records: Sequence[tuple[float, dict[str, Any]]], began: float) -> Curve:
    """Return the epochs of trials and finals, each once, from a journal's records and the times they appeared."""
    trials = {f"trial/{one['trial']['trial_id']}": one["trial"] for _, one in records if one["type"] == "ask"}
    lengths: dict[str | None, int] = {}
    curve: Curve = []
    for now, record in records:
        if record["type"] != "result" or not record["result"].get("curve"):
            continue
        result, trial = record["result"], trials.get(record["key"])
        # The curve of a promoted trial includes that of the trial it continues; the curve of a final is its own.
        before = lengths.get(trial["continues"], 0) if trial else 0
        if trial:
            lengths[trial["trial_id"]] = len(result["curve"])
        seconds = result["seconds"][before:]
        for index, entry in enumerate(result["curve"][before:], 1):
            curve.append((now - began - sum(seconds[index:]), entry["val_f1_macro"] or 0.0))
    return sorted(curve)


def plain(workspace: Workspace, seed: int, minutes: float, core: int, folder: Path) -> Curve:
    """Run the script of a Keras Tuner user for the same time."""
    epochs = folder / "epochs.jsonl"
    script = Path(__file__).with_name("plain_hyperband.py").resolve()
    began = time.time()
    arguments = [workspace.split, "--seed", seed, "--project", folder / "project", "--out", epochs]
    process = started([script, *arguments], core, folder)
    try:
        process.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE_SECONDS)
    else:
        raise RuntimeError(f"{folder} ended before its time; see its log.txt")
    entries = [json.loads(line) for line in epochs.read_text().splitlines()]
    return [(entry["time"] - began, entry["val_f1_macro"]) for entry in entries]


def best_at(curve: Curve, seconds: float) -> float:
    return max((score for moment, score in curve if moment <= seconds), default=0.0)


def picture(curves: dict[str, list[Curve]], seconds: float, path: Path) -> None:
    """Plot the best score so far over time: mean over seeds, and the range from lowest to highest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    moments = [seconds * step / 200 for step in range(1, 201)]
    for method, found in curves.items():
        best = [[best_at(curve, moment) for curve in found] for moment in moments]
        minutes = [moment / 60 for moment in moments]
        (line,) = axes.plot(minutes, [statistics.fmean(scores) for scores in best], label=method)
        axes.fill_between(minutes, [min(s) for s in best], [max(s) for s in best], color=line.get_color(), alpha=0.15)
    axes.set(xlabel="minutes since the command was started", ylabel="best validation macro-F1 so far")
    axes.set_xlim(0, seconds / 60)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faces", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="a workspace with prepared data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for all that is made")
    parser.add_argument("--minutes", type=float, default=15, metavar="M", help="of each search (default: 15)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="searches of each method (default: 3)")
    args = parser.parse_args()
    workspace = Workspace(args.root.resolve())
    if not workspace.split_manifest.exists():
        sys.exit(f"{args.root} holds no prepared data; run python -m tuning.prepare --root {args.root} --raw DIR")
    out: Path = args.out.resolve()
    free: queue.Queue[int] = queue.Queue()
    for core in sorted(os.sched_getaffinity(0)):
        free.put(core)

    def search(seed: int, method: str) -> None:
        folder = out / f"{method.replace(' ', '-')}-{seed}"
        if (folder / "curve.json").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        core = free.get()
        try:
            options = METHODS[method]
            if options is None:
                curve = plain(workspace, seed, args.minutes, core, folder)
            else:
                curve = ours(workspace, options, seed, args.minutes, core, folder)
        finally:
            free.put(core)
        write_json(folder / "curve.json", curve)
        print(f"{method}, seed {seed}: {max((score for _, score in curve), default=0.0):.3f}", flush=True)

    with ThreadPoolExecutor(free.qsize()) as pool:
        list(pool.map(lambda job: search(*job), [(seed, method) for seed in range(args.seeds) for method in METHODS]))
    curves: dict[str, list[Curve]] = {}
    for method in METHODS:
        folders = [out / f"{method.replace(' ', '-')}-{seed}" for seed in range(args.seeds)]
        curves[method] = [json.loads((folder / "curve.json").read_text()) for folder in folders]
    write_json(out / "results.json", curves)
    for method, found in curves.items():
        shares = (1 / 3, 2 / 3, 1.05)
        ends = [[best_at(curve, share * 60 * args.minutes) for curve in found] for share in shares]
        print(method, *(f"{statistics.fmean(scores):.3f}" for scores in ends), "last:", *map("{:.3f}".format, ends[-1]))
    picture(curves, 60 * args.minutes, out / "faces.png")


if __name__ == "__main__":
    main()
