"""Prints the leaderboard: every finished run, best first.

  python -m tuning.leaderboard
  python -m tuning.leaderboard --wide       # all columns, as in a pipe
  python -m tuning.leaderboard --markdown   # or --csv, or --json
  python -m tuning.leaderboard --rebuild    # anew from the runs' own files
  python -m tuning.leaderboard --verify     # exit 3 if it differs from them

Rows are read from the runs' own files. artifacts/outputs/leaderboard.csv holds
the same rows for other programs; it is checked against those files and never
read in their place.

columns:
  F1       macro-F1, the mean over all classes with equal weight, and its 95 %
           interval from a bootstrap over the test images; copies, faces of one
           photo and images of one person count as one
  vs best  compares all rows at once, image by image:
           tied: the 95 % interval of the difference to the best includes 0
           worse: neither the choice of test images nor the luck of a training
           seed explains the difference
           better in the mean: they do not explain it, and over all seeds the
           row's configuration is the better one
           seeds unknown: no configuration was trained with several seeds, so
           no row can be called worse
  epochs   best/trained
  tests    how often the run was evaluated on the test split

The run with the highest test macro-F1 is promoted, tied or not. Its score,
corrected for being the highest of several, stands below the table.

reads   artifacts/trials/, artifacts/searches/; without --rebuild, leaderboard.csv, to compare it
writes  nothing; with --rebuild, leaderboard.csv
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tuning import cli
from tuning.core.errors import StateError, UsageError
from tuning.core.workspace import Workspace

_SHOWN_DIFFERENCES = 10


def options() -> argparse.ArgumentParser:
    parser = cli.parser("leaderboard", __doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--rebuild", action="store_true", help="write the leaderboard anew from the runs' own files")
    choice.add_argument(
        "--verify", action="store_true", help="compare it with the runs' own files; exit 3 if they differ"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--wide", action="store_true", help="print every column in one table, however narrow the terminal"
    )
    form.add_argument("--csv", action="store_true", help="print it as CSV, including all computed columns")
    form.add_argument("--markdown", action="store_true", help="print it as a Markdown table")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.core import colour
    from tuning.results import leaderboard, tables
    from tuning.results.runs import REBUILD, run_folders
    from tuning.results.standings import standings, test_evaluations

    if args.json and (args.csv or args.markdown):
        raise UsageError("--json is given together with --csv or --markdown", "give one of them")
    if not run_folders(workspace) and not workspace.leaderboard.is_file():
        # Not even --rebuild writes into a workspace without runs.
        raise leaderboard.empty(workspace)
    if args.rebuild:
        runs = leaderboard.rebuild(workspace)
        if not runs:
            raise leaderboard.empty(workspace)
        console.say(f"wrote {workspace.leaderboard} from {len(runs)} runs")
    else:
        runs = leaderboard.read(workspace)
    found = [] if args.rebuild else leaderboard.verify(workspace, runs)
    if args.verify:
        if found:
            further = len(found) - _SHOWN_DIFFERENCES
            shown = found[:_SHOWN_DIFFERENCES] + ([f"and {further} more"] if further > 0 else [])
            raise StateError(
                f"{workspace.leaderboard} is not what the runs' own files say: {'; '.join(shown)}",
                f"run: {REBUILD}",
            )
        return {"verified": True, "rows": len(runs)}, f"{workspace.leaderboard}: verified, {len(runs)} runs"
    if found:
        remedy = workspace.addressed(f"to write it anew: {REBUILD}")
        console.warn(f"{workspace.leaderboard} is not what the runs' own files say; {remedy}")
    entries = standings(workspace, runs)
    evaluations = test_evaluations(workspace, [entry.row for entry in entries])
    if args.csv:
        text = tables.leaderboard_csv(entries).rstrip("\n")
    elif args.markdown:
        text = tables.leaderboard_markdown(entries)
    else:
        width = None if args.wide else cli.terminal_width()
        text = tables.leaderboard_table(entries, width, evaluations, colour.shown(sys.stdout))
    result = {
        "leaderboard": str(workspace.leaderboard),
        "rows": [entry.to_json() for entry in entries],
        "test_split_openings": evaluations,
    }
    return result, text


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
