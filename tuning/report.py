"""Writes the report of a search: one page, readable offline.

  python -m tuning.report baseline_cnn-hyperband
  python -m tuning.report baseline_cnn-hyperband --watch      # rewritten every 15 seconds while the search runs
  python -m tuning.report --all                               # one page about all searches, with links

The page shows the verdict, progress, learning curves, rungs, an interactive chart of the configurations, the importance
of hyperparameters, failed trials with their causes, the finalists on the test split, and the command that repeats the
search. A search writes its page when it ends; this command writes it at any time without disturbing a running search.
With --all, missing or outdated pages of the searches are written too.

reads   artifacts/searches/NAME/, artifacts/trials/, data/cls_data
writes  artifacts/searches/NAME/report.html and its pictures; with --all, artifacts/searches/report.html
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from tuning import cli
from tuning.core.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from tuning.core.workspace import Workspace

WATCH_SECONDS = 15


def options() -> argparse.ArgumentParser:
    parser = cli.parser("report", __doc__, "[NAME]")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a search, or one of its runs (default: the search that ran last)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="write one page about all searches of the workspace")
    which.add_argument(
        "--watch",
        action="store_true",
        help="keep rewriting the page while the search runs; an open page reloads itself",
    )
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str, int]:
    if args.all:
        return _all(args, workspace)
    from tuning.core import interruption
    from tuning.history import searches
    from tuning.history.status import RUNNING, TESTING
    from tuning.results import report
    from tuning.results.sources import search_of

    name = searches.latest(workspace) if args.name is None else search_of(workspace, args.name)
    path, found = report.write(workspace, name, refresh=WATCH_SECONDS if args.watch else 0)
    while args.watch and found.status in (RUNNING, TESTING):
        console.say(f"{path}: {found.verdict.headline}")
        for _ in range(WATCH_SECONDS):
            interruption.check()
            time.sleep(1)
        path, found = report.write(workspace, name, refresh=WATCH_SECONDS)
    if args.watch:
        # The last version of the page does not reload itself.
        path, found = report.write(workspace, name)
    result = {
        "search": name,
        "standing": found.status,
        "verdict": found.verdict.headline,
        "reasons": list(found.verdict.reasons),
        "problems": list(found.problems),
        "report": str(path),
    }
    lines = [found.verdict.headline, *(f"  {line}" for line in (*found.verdict.reasons, *found.problems))]
    return result, "\n".join([*lines, "", f"→ {path}"]), EXIT_REFUSED if found.problems else EXIT_DONE


def _all(args: argparse.Namespace, workspace: Workspace) -> tuple[dict[str, Any], str, int]:
    from tuning.results.report import overview

    if args.name is not None:
        raise UsageError(f"--all and the search {args.name!r} are both given", "leave one of them out")
    path, rows, problems = overview.write_overview(workspace)
    result = {"report": str(path), "searches": overview.summary(rows), "problems": problems}
    lines = [f"{len(rows)} search{'es' * (len(rows) != 1)}, newest first:", *(f"  {row.words}" for row in rows)]
    text = "\n".join([*lines, *(f"  cannot be read: {line}" for line in problems), "", f"→ {path}"])
    return result, text, EXIT_REFUSED if problems else EXIT_DONE


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
