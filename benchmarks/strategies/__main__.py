"""Compares search strategies on the learning curves of real deep-learning tasks, on simulated machines.

  python -m benchmarks.strategies
  python -m benchmarks.strategies --workers 8 --seeds 5
  python -m benchmarks.strategies --methods freeze_thaw,hyperband --tasks 3945,34539 --seeds 1     # a quick look

Regret is that of the configuration each method would choose, after 51 epochs, as a share of (best known - median of
random configurations). A budget counts full trainings: with one worker, epochs; with more, the time of all workers,
idle or not, in mean full trainings of the task.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

BUDGETS = (2, 5, 10, 20, 40)
OURS = ("freeze_thaw", "bohb", "asha", "hyperband", "random")


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
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (5)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="simulated workers (1)")
    parser.add_argument(
        "--window", type=int, metavar="N", help="of ours (default: 1 with one worker, else twice as many)"
    )
    parser.add_argument("--budget", type=int, default=40, metavar="N", help="full trainings at most (40)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results.json and regret.png")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = options().parse_args(argv)
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # trains nothing
    from tuning import light_keras

    light_keras.use()
    import numpy as np

    from benchmarks.strategies import problem, report
    from benchmarks.strategies.peers import PEERS
    from tuning.files import write_json

    try:
        problem.library()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 4
    except ImportError as error:
        print(f"{error}; pip install onnxruntime", file=sys.stderr)
        return 4
    missing = sorted({peer.package for peer in PEERS.values() if not peer.installed})
    if missing:
        print(f"left out, not installed: pip install {' '.join(missing)}", file=sys.stderr)
    names = args.methods.split(",") if args.methods else [*OURS, *(n for n, p in PEERS.items() if not p.slow)]
    unknown = [name for name in names if name not in OURS and name not in PEERS]
    if unknown:
        print(f"there is no method {unknown[0]!r}: choose from {', '.join([*OURS, *PEERS])}", file=sys.stderr)
        return 2
    names = [name for name in names if name in OURS or PEERS[name].installed]
    tasks = problem.REPORTED if args.tasks is None else args.tasks.split(",")
    if args.tasks == "development":
        tasks = problem.DEVELOPMENT
    budgets = [budget for budget in BUDGETS if budget <= args.budget]
    window = args.window or (1 if args.workers == 1 else 2 * args.workers)
    regrets: dict[str, list[list[float]]] = {name: [] for name in names}
    own: dict[str, float] = {}
    for name in names:
        seconds = jobs = 0.0
        for task in tasks:
            for seed in range(args.seeds):
                run = _run(name, problem.problem(task), seed, budgets, args.workers, window)
                regrets[name].append(run.regrets)
                seconds, jobs = seconds + run.own_seconds, jobs + run.jobs
        own[name] = seconds / jobs
        means = " ".join(f"{value:.3f}" for value in np.mean(regrets[name], axis=0))
        print(f"{name}: {means} ({len(regrets[name])} runs)", file=sys.stderr, flush=True)
    arrays = {name: np.array(rows) for name, rows in regrets.items()}
    about = f"{len(tasks)} tasks x {args.seeds} seeds, {args.workers} worker(s)"
    result = {
        "tasks": tasks,
        "seeds": args.seeds,
        "workers": args.workers,
        "window": window,
        "budgets": budgets,
        "regrets": regrets,
        "seconds_per_job": own,
    }
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / "results.json", result)
        report.plot(arrays, budgets, about, args.out / "regret.png")
    print(
        json.dumps(result)
        if args.json
        else f"{about}; mean regret ± 95 % (mean rank)\n{report.table(arrays, own, budgets)}"
    )
    return 0


def _run(name, problem, seed, budgets, workers, window):
    from benchmarks.strategies.ours import Ours
    from benchmarks.strategies.peers import PEERS
    from benchmarks.strategies.problem import EPOCHS, defaults
    from benchmarks.strategies.simulator import simulate

    method = Ours(name, seed, window) if name in OURS else PEERS[name].build(seed)
    if workers == 1:
        unit, duration = float(EPOCHS), lambda job: float(job.last - job.first)
    else:
        unit = EPOCHS * problem.epoch_seconds / workers
        duration = lambda job: problem.seconds(job.configuration, job.first, job.last)  # noqa: E731
    return simulate(
        method, problem, [budget * unit for budget in budgets], workers, duration, problem.regret(defaults())
    )


if __name__ == "__main__":
    sys.exit(main())
