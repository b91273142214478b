"""Exports a model with class names, preprocessing, metrics and a loading example beside it.

  python -m tuning.export                             # the promoted model → artifacts/exports/best_model/
  python -m tuning.export --search faces              # the best finalist of a search, by validation macro-F1
  python -m tuning.export --run RUN_ID --out my_model # one run of the leaderboard

The exported .keras file opens in plain Keras with safe_mode=True and no custom objects. Before the export is done, a
fresh process that cannot import this project has loaded it and predicted what the original predicts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tuning import cli
from tuning.results.exporters import EXPORTERS
from tuning.workspace import Workspace


def options() -> argparse.ArgumentParser:
    parser = cli.parser("export", __doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--search", metavar="NAME", help="the best trial of this search, by validation macro-F1")
    which.add_argument("--run", metavar="RUN_ID", help="this run of the leaderboard (default: the promoted model)")
    parser.add_argument(
        "--format",
        type=_formats,
        default=["keras"],
        metavar="NAME[,NAME]",
        help=f"what to write: {', '.join(EXPORTERS)} (default: keras)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: artifacts/exports/<name>)")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.results import exporters, sources

    if args.search is not None:
        source = sources.search_source(workspace, args.search)
    elif args.run is not None:
        source = sources.run_source(workspace, args.run)
    else:
        source = sources.promoted_source(workspace)
    result = exporters.export(workspace, source, args.format, args.out, console)
    lines = [f"exported {result['run_id']} to {result['directory']}: {', '.join(result['files'])}"]
    lines += [
        f"{name}: checked on {check['images']} {check['origin']} in a process without this project, "
        f"largest difference {check['difference']:.1g}"
        for name, check in result["checked"].items()
    ]
    return result, "\n".join(lines)


def _formats(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in EXPORTERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(EXPORTERS)}")
    return names


def main(argv: list[str] | None = None) -> int:
    return cli.main(options(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
