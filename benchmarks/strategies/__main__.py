"""Compares search strategies on the learning curves of real deep-learning tasks, on simulated machines.

  python -m benchmarks.strategies
  python -m benchmarks.strategies --workers 8 --seeds 5
  python -m benchmarks.strategies --methods hyperband,random --tasks 3945,34539 --seeds 1     # a quick look

The regret of a method is that of the configuration it would choose, trained for 51 epochs, as a share of (best known
score - median of random configurations). Budgets are in full trainings: with one worker, epochs are counted; with more,
the time of all workers, idle or not, in units of the task's mean full training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

RESULTS = "results.json"
BUDGETS = (2, 5, 10, 20, 40)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", metavar="A,B", help="ours and others' (default: all that are installed and fast)")
    parser.add_argument(
        "--tasks", metavar="A,B", help="OpenML numbers, or `development` (default: the 24 reported ones)"
    )
    parser.add_argument("--form", default="shipped", help="shipped, inner, late or dead: see `problem` (shipped)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (5)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="simulated workers (1)")
    parser.add_argument(
        "--window", type=int, metavar="N", help="of ours (default: 1 with one worker, else twice as many)"
    )
    parser.add_argument("--budget", type=int, default=40, metavar="N", help="full trainings at most (40)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for results.json and regret.png; methods that it holds already join the table",
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = options().parse_args(argv)
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # trains nothing
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # more threads would only add to the processor time of a method
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # thousands of deprecation warnings of other libraries
    import numpy as np

    from benchmarks.strategies import problem, report, running
    from benchmarks.strategies.peers import PEERS
    from tuning.core.files import write_json

    try:
        problem.library()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 4
    except ImportError as error:
        print(f"{error}; pip install onnxruntime", file=sys.stderr)
        return 4
    names = args.methods.split(",") if args.methods else [*running.OURS, *(n for n, p in PEERS.items() if not p.slow)]
    if args.form not in problem.FORMS:
        print(f"there is no form {args.form!r}: choose from {', '.join(problem.FORMS)}", file=sys.stderr)
        return 2
    known = [*running.OURS, *PEERS]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no method {unknown[0]!r}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    missing = {name for name in names if name in PEERS and not PEERS[name].installed}
    if missing:
        packages = " ".join(sorted({PEERS[name].package for name in missing}))
        print(f"left out, not installed: pip install {packages}", file=sys.stderr)
    names = [name for name in names if name not in missing]
    if not names:
        return 4
    tasks = problem.REPORTED if args.tasks is None else args.tasks.split(",")
    if args.tasks == "development":
        tasks = problem.DEVELOPMENT
    budgets = [budget for budget in BUDGETS if budget <= args.budget]
    window = args.window or (1 if args.workers == 1 else 2 * args.workers)
    about = {"tasks": tasks, "form": args.form, "workers": args.workers, "window": window, "budgets": budgets}
    measured = _measured_before(args.out, about)
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for name in names:
            seeds = range(args.seeds)
            jobs = [(name, task, seed, budgets, args.workers, window, args.form) for task in tasks for seed in seeds]
            runs = pool.starmap(running.run, jobs, chunksize=1)
            regrets = np.array([run.regrets for run in runs]).reshape(len(tasks), len(seeds), len(budgets))
            own = sum(run.own_seconds for run in runs) / sum(run.jobs for run in runs)
            measured[name] = {"regrets": regrets.tolist(), "seconds_per_job": own}
            means = " ".join(f"{value:.3f}" for value in regrets.mean(axis=(0, 1)))
            print(f"{name}: {means} ({len(runs)} runs)", file=sys.stderr, flush=True)
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                write_json(args.out / RESULTS, {**about, "methods": measured})
    found = {name: report.Measured.of(entry) for name, entry in measured.items()}
    title = f"{len(tasks)} tasks ({args.form}), {args.workers} worker{'s' if args.workers > 1 else ''}"
    if args.out:
        report.plot(found, budgets, title, args.out / "regret.png")
    if args.json:
        print(json.dumps({**about, "methods": measured}))
    else:
        print(f"{title}; mean regret ± 95 % (mean rank among these)\n{report.table(found, budgets)}")
    return 0


def _measured_before(folder: Path | None, about: dict[str, Any]) -> dict[str, Any]:
    """Return the results of methods in an earlier call with equal settings, so that a table can be made in parts."""
    if folder is None or not (folder / RESULTS).exists():
        return {}
    before = json.loads((folder / RESULTS).read_text())
    return before["methods"] if {name: before[name] for name in about} == about else {}


if __name__ == "__main__":
    sys.exit(main())
