"""Prints the leaderboard: every finished run, best test macro-F1 first.

  python -m tuning.leaderboard
  python -m tuning.leaderboard --rebuild      # writes it anew from the runs' own files
  python -m tuning.leaderboard --verify       # exit 3 if it is not what the runs' own files say
  python -m tuning.leaderboard --json | python -m json.tool

The file is artifacts/outputs/leaderboard.csv. F1 is macro-F1: the mean over classes, each counting alike. Two runs
whose 95 % intervals (bootstrap over the test images) overlap widely are better called a tie. `epochs` is best/trained.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tuning import cli
from tuning.errors import StateError
from tuning.workspace import Workspace

_SHOWN_DIFFERENCES = 10


def options() -> argparse.ArgumentParser:
    parser = cli.parser("leaderboard", __doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--rebuild", action="store_true", help="write the leaderboard anew from the runs' own files")
    choice.add_argument(
        "--verify", action="store_true", help="compare it with the runs' own files; exit 3 if it differs"
    )
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.results import leaderboard
    from tuning.results.tables import leaderboard_table

    if not workspace.leaderboard.is_file() and not leaderboard.read_runs(workspace):
        raise leaderboard.empty(workspace)
    if args.verify:
        found = leaderboard.verify(workspace)
        if found:
            further = len(found) - _SHOWN_DIFFERENCES
            shown = found[:_SHOWN_DIFFERENCES] + ([f"and {further} more"] if further > 0 else [])
            raise StateError(
                f"{workspace.leaderboard} is not what the runs' own files say: {'; '.join(shown)}",
                f"run: {leaderboard.REBUILD}",
            )
        rows = leaderboard.read(workspace)
        return {"verified": True, "rows": len(rows)}, f"{workspace.leaderboard}: verified, {len(rows)} runs"
    if args.rebuild:
        rows = leaderboard.rebuild(workspace)
        if not rows:
            raise leaderboard.empty(workspace)
        console.say(f"wrote {workspace.leaderboard} from {len(rows)} runs")
    else:
        rows = leaderboard.read(workspace)
    return {"leaderboard": str(workspace.leaderboard), "rows": rows}, leaderboard_table(rows)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
