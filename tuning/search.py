"""Searches for the best model: trials, finalists, leaderboard, promotion.

  python -m tuning.search --strategy hyperband
  python -m tuning.search --strategy hyperband --max-epochs 9 --top-k 2      # an hour's work becomes minutes
  python -m tuning.search --strategy hyperband --dry-run                     # what it would take: trials, time, disk
  python -m tuning.search --space my_models.cnn:build_model --name mine      # a model builder of your own
  python -m tuning.search --try learning_rate=3e-4,optimizer=adamw --from-search baseline_cnn-hyperband --name next
  python -m tuning.search --mlflow http://localhost:5000                     # or a folder: --mlflow runs
  python -m tuning.search --tensorboard
  tensorboard --logdir artifacts/searches/baseline_cnn-hyperband/tensorboard

The same command again goes on where it was interrupted. The result does not depend on --workers, on --executor, or on
how often it was interrupted.

reads   the prepared data in data/cls_data
writes  artifacts/searches/NAME/ (settings, journal, checkpoints, report.html), then a folder a run in
        artifacts/trials/, artifacts/outputs/leaderboard.csv, artifacts/models/best_model.keras
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tuning import cli
from tuning.core.workspace import Workspace

#: Options that are settings of the search under the same name.
SETTINGS = (
    "space",
    "name",
    "max_epochs",
    "min_epochs",
    "factor",
    "max_trials",
    "iterations",
    "window",
    "seed",
    "top_k",
    "retrain_epochs",
    "executions",
    "early_stopping",
    "reduce_lr",
    "dtype",
    "stop_curves",
    "reuse_trials",
    "tries",
    "from_search",
    "max_memory",
)


def options() -> argparse.ArgumentParser:
    from search_spaces import SPACES
    from tuning.engine.executors import EXECUTORS
    from tuning.oracles import STRATEGIES

    parser = cli.parser("search", __doc__)
    what = parser.add_argument_group("what is searched (fixed once a search has begun)")
    strategy = what.add_argument(
        "--strategy", default="hyperband", metavar="NAME", help=f"one of {', '.join(STRATEGIES)}"
    )
    cli.offer(strategy, lambda workspace: STRATEGIES)
    space = what.add_argument(
        "--space",
        default="baseline_cnn",
        metavar="SPACE",
        help=f"one of {', '.join(SPACES)}, or your own builder as package.module:function",
    )
    cli.offer(space, lambda workspace: SPACES)
    name = what.add_argument("--name", help="name of the search (default: SPACE-STRATEGY)")
    cli.offer(name, cli.searches)
    what.add_argument("--max-epochs", type=int, default=27, metavar="N", help="epochs of a full training (27)")
    what.add_argument(
        "--min-epochs",
        metavar="N",
        help="epochs that the shortest trainings have at the least, or, for large data sets, a part of one: 1/3 (1)",
    )
    what.add_argument("--factor", type=int, default=3, metavar="N", help="Hyperband keeps one in N (3)")
    what.add_argument("--max-trials", type=int, metavar="N", help="trials at most (default: what the strategy needs)")
    what.add_argument(
        "--iterations", type=int, metavar="N", help="Hyperband: how often it passes over all its brackets (1)"
    )
    what.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="trials asked for ahead of their results; four times the workers keeps all of them busy "
        f"({', '.join(f'{name}: {row.window}' for name, row in STRATEGIES.items())})",
    )
    what.add_argument("--seed", type=int, default=0, metavar="N", help="the seed that everything is keyed by (0)")
    what.add_argument("--top-k", type=int, default=3, metavar="K", help="finalists to retrain and test (3)")
    what.add_argument("--retrain-epochs", type=int, metavar="N", help="epochs for finalists (default: --max-epochs)")
    what.add_argument("--executions", type=int, default=1, metavar="N", help="seeds for finalists and baseline (1)")
    cli.add_training_options(what)
    good = parser.add_argument_group("what is known to be good (fixed once a search has begun)")
    good.add_argument(
        "--try",
        dest="tries",
        action="append",
        metavar="NAME=VALUE,…",
        help="a configuration to try right after the baseline's, what is left out at its default; may be repeated",
    )
    earlier = good.add_argument(
        "--from-search",
        metavar="NAME",
        help="then try the three best configurations of an earlier search in this workspace, of other data too, "
        "that fit the space: as that search stands when this one begins",
    )
    cli.offer(earlier, cli.searches)
    less = parser.add_argument_group("less to compute (fixed once a search has begun)")
    less.add_argument(
        "--stop-curves",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="end a trial whose curve has ended: it answers one label for five epochs while no loss gets better, or "
        "its score, extrapolated, gains less than a seed would (on)",
    )
    less.add_argument(
        "--reuse-trials",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="finalists are the search's own full trainings, gone on with where they ended early, instead of being "
        "trained again from scratch with another seed (off)",
    )
    less.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="train no configuration that takes more than this at the very least, counted as weights, gradients and "
        "what these are made of: 8G; 0 for no limit (default: what this machine, or its largest GPU, has when the "
        "search begins)",
    )
    how = parser.add_argument_group("how it runs (may change from one resume to the next)")
    how.add_argument("--workers", type=int, metavar="N", help="trials at a time (default: one per core, or per GPU)")
    how.add_argument("--executor", choices=tuple(EXECUTORS), default="local", help="where trials run (local)")
    how.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="with --executor ray: host:port of a running cluster, or auto (default: RAY_ADDRESS, else auto)",
    )
    how.add_argument("--trial-timeout", type=float, metavar="SECONDS", help="give a trial up after this long")
    how.add_argument(
        "--max-deaths",
        type=int,
        default=2,
        metavar="N",
        help="deaths of its process that fail a configuration (2); the search killed six times that often during one "
        "trial, and no epoch gained, counts as much",
    )
    how.add_argument(
        "--budget", metavar="TIME", help="running time over all resumes, final training included: 45m, 8h, 2d, 1h30m"
    )
    how.add_argument("--search-only", action="store_true", help="no finalists: the test split stays sealed")
    cli.add_tracking_options(how)
    how.add_argument("--dry-run", action="store_true", help="say what it would take, and start nothing")
    how.add_argument("--fresh", action="store_true", help="move a search of that name aside and start over")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from dataclasses import asdict

    from tuning.core.settings import check_positive
    from tuning.engine.budget import seconds
    from tuning.pipeline.plan import plan_search
    from tuning.pipeline.search import run_search
    from tuning.pipeline.session import Resources
    from tuning.results.leaderboard import read
    from tuning.results.standings import standings, test_evaluations
    from tuning.results.tables import leaderboard_table
    from tuning.tracking import Tracking

    check_positive(workers=args.workers, trial_timeout=args.trial_timeout, max_deaths=args.max_deaths)
    resources = Resources(
        executor=args.executor,
        workers=args.workers,
        trial_timeout=args.trial_timeout,
        max_deaths=args.max_deaths,
        ray_address=args.ray_address,
    )
    budget = seconds(args.budget) if args.budget else None
    settings = {name: getattr(args, name) for name in SETTINGS}
    if args.dry_run:
        plan = plan_search(workspace, args.strategy, resources, args.fresh, **settings)
        return asdict(plan), plan.text()
    result = run_search(
        workspace,
        args.strategy,
        fresh=args.fresh,
        search_only=args.search_only,
        budget=budget,
        resources=resources,
        tracking=Tracking(args.tensorboard, args.mlflow),
        progress=console,
        **settings,
    )
    lines = [
        f"{result.name}: {result.trials} trials ({result.failed} failed), {result.epochs} epochs; best by validation: "
        f"trial {result.best_trial}, val_f1_macro {result.best_val_f1_macro:.4f}"
    ]
    if result.promoted:
        rows = [entry for entry in standings(workspace, read(workspace)) if entry.row.search == result.name]
        evaluations = test_evaluations(workspace, [entry.row for entry in rows])
        table = leaderboard_table(rows, cli.terminal_width(), evaluations)
        lines += ["", table, "", f"promoted: {result.promoted} → {workspace.best_model}"]
    return {**asdict(result), "directory": str(result.directory)}, "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
