"""Searches for the best model: trials, finalists, promotion.

  python -m tuning.search --strategy hyperband
  python -m tuning.search --strategy hyperband --max-epochs 9 --top-k 2      # minutes instead of an hour
  python -m tuning.search --strategy hyperband --dry-run                     # the plan: trials, time, disk space
  python -m tuning.search --space my_models.cnn:build_model --name mine      # your own model builder
  python -m tuning.search --try learning_rate=2e-3,block=double --from-search baseline_cnn-hyperband --name next
  python -m tuning.search --mlflow http://localhost:5000                     # or a folder: --mlflow runs
  python -m tuning.search --tensorboard
  tensorboard --logdir artifacts/searches/baseline_cnn-hyperband/tensorboard

If a search is interrupted, the same command resumes it. Once a search has begun, its result does not depend on
--workers, on --executor, or on interruptions. The plan of a --budget is made at the start, from the measured speed of
this machine and its workers. A resume retries failed finalists; --retry-failed retries failed trials.

reads   the prepared data in data/cls_data
writes  artifacts/searches/NAME/ (settings, journal, checkpoints, report.html), then one folder per final run in
        artifacts/trials/, artifacts/outputs/leaderboard.csv, artifacts/models/best_model.keras
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from tuning import cli
from tuning.core.options import add_options, values_of
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.pipeline.search import SearchResult


def words() -> dict[str, str]:
    """Returns the values of the placeholders in the options' help texts."""
    from search_spaces import SPACES
    from tuning.oracles import STRATEGIES

    return {
        "spaces": ", ".join(SPACES),
        "strategies": ", ".join(STRATEGIES),
        "windows": ", ".join(f"{name}: {row.window}" for name, row in STRATEGIES.items()),
    }


def options() -> argparse.ArgumentParser:
    from search_spaces import SPACES
    from tuning.core.control import Control
    from tuning.core.settings import SearchSettings
    from tuning.oracles import STRATEGIES
    from tuning.pipeline.resources import Resources

    parser = cli.parser("search", __doc__)
    add_options(
        parser,
        SearchSettings,
        Resources,
        Control,
        words=words(),
        complete={
            "strategy": lambda action: cli.offer(action, lambda workspace: STRATEGIES),
            "space": lambda action: cli.offer(action, lambda workspace: SPACES),
            "name": lambda action: cli.offer(action, cli.searches),
            "from_search": lambda action: cli.offer(action, cli.searches),
        },
    )
    cli.add_tracking_options(parser.add_argument_group("experiment tracking"))
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from dataclasses import asdict

    from tuning.core import colour
    from tuning.core.settings import SearchSettings
    from tuning.engine.budget import seconds
    from tuning.pipeline.plan import plan_search
    from tuning.pipeline.resources import Resources
    from tuning.pipeline.search import run_search
    from tuning.results import closing
    from tuning.results.leaderboard import read
    from tuning.results.standings import standings, test_evaluations
    from tuning.results.tables import leaderboard_table
    from tuning.tracking import Tracking

    resources = Resources(**values_of(args, Resources))
    budget = seconds(args.budget) if args.budget else None
    settings = values_of(args, SearchSettings)
    about_base = {"base_weights": args.base_weights, "base_license": args.base_license, "accept": args.accept}
    if args.dry_run:
        plan = plan_search(
            workspace, resources=resources, fresh=args.fresh, budget=budget, progress=console, **about_base, **settings
        )
        return asdict(plan), plan.text()
    result = run_search(
        workspace,
        fresh=args.fresh,
        search_only=args.search_only,
        retry_failed=args.retry_failed,
        budget=budget,
        began=cli.BEGAN,
        resources=resources,
        tracking=Tracking(args.tensorboard, args.mlflow),
        progress=console,
        **about_base,
        **settings,
    )
    failures = result.failures
    lines = [
        f"{result.name}: {result.trials} trials ({result.failed} failed), {result.epochs} epochs; best by validation: "
        f"trial {result.best_trial}, val_f1_macro {result.best_val_f1_macro:.4f}, the maximum over epochs and trials"
    ]
    lines += [f"not published: {run_id}: {why}; the same command tries it again" for run_id, why in failures.items()]
    coloured, kept = colour.shown(sys.stdout), ""
    if result.promoted:
        rows = [entry for entry in standings(workspace, read(workspace)) if entry.row.search == result.name]
        evaluations = test_evaluations(workspace, [entry.row for entry in rows])
        table = leaderboard_table(rows, cli.terminal_width(), evaluations, coloured)
        name = "".join(f"{entry.name}, " for entry in rows if entry.row.run_id == result.promoted)
        lines += ["", table, "", f"promoted: {name}{result.promoted} → {workspace.best_model}"]
        kept = closing.kept_words(workspace, result.promoted, result.runs)
    if result.verdict:
        verdict = f"verdict: {result.verdict}{kept}"
        lines += ["", colour.painted(verdict, result.verdict_kind or "") if coloured else verdict]
    second = closing.second_seed(workspace, result.runs)
    lines += ["", "next:", *(f"  {workspace.addressed(line)}" for line in _next(result, second))]
    return {**asdict(result), "directory": str(result.directory)}, "\n".join(lines)


def _next(result: SearchResult, second_seed: str | None) -> list[str]:
    """Returns three commands to run next; the first is `second_seed`, if there is one."""
    report = second_seed or f"python -m tuning.report {result.name}"
    if result.promoted is None:
        trial = f"{result.name}/{result.best_trial}"
        return [report, f"python -m tuning.train --from-trial {trial}", "python -m tuning.leaderboard"]
    export = (
        "python -m tuning.export"
        if result.promoted in result.runs
        else f"python -m tuning.export --search {result.name}"
    )
    return [report, "python -m tuning.predict face.jpg --sheet sheet.png", export]


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
