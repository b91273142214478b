"""Promotes the run with the highest test macro-F1.

  python -m tuning.promote --dry-run      # print what would be promoted
  python -m tuning.promote

Only test_f1_macro counts, among the runs tested on the current data. Every search applies this rule when it ends; run
the command after adding, restoring or removing a folder in artifacts/trials. The metrics and a model card, README.md,
are written beside the model. The card is kept up to date until you edit it; your edits stay until another model is
promoted.

reads   artifacts/trials/
writes  artifacts/models/best_model.keras, best_model_metrics.json, README.md,
        and artifacts/outputs/leaderboard.csv
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tuning import cli
from tuning.core.workspace import Workspace


def options() -> argparse.ArgumentParser:
    parser = cli.parser("promote", __doc__)
    parser.add_argument("--dry-run", action="store_true", help="print what would be promoted, and write nothing")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.results import leaderboard, promotion
    from tuning.results.runs import run_folders

    if not run_folders(workspace):
        raise leaderboard.empty(workspace)
    outcome = promotion.promote(workspace, dry_run=args.dry_run, progress=console)
    winner = f"{outcome.run_id}: test macro-F1 {outcome.test_f1_macro:.3f}, best of {outcome.compared}"
    if outcome.corrected is not None and outcome.compared > 1:
        winner += f" (corrected for that: {outcome.corrected:.3f})"
    winner += outcome.base
    if outcome.previous not in (None, outcome.run_id):
        winner += f"; before: {outcome.previous}"
    verb = "promoted" if not args.dry_run else "would promote"
    if not outcome.changed:
        verb = "already promoted"
    result = {**outcome.to_json(), "dry_run": args.dry_run, "model": str(workspace.best_model)}
    return result, f"{verb} {winner}"


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
