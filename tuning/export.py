"""Exports a model with everything that is needed to use it.

  python -m tuning.export                             # the promoted model → artifacts/exports/best_model/
  python -m tuning.export --search faces              # the best run of a search, by validation macro-F1
  python -m tuning.export --run quiet-otter --out my_model  # a run, by its short name or id
  python -m tuning.export --max-ms 2 --format litert  # the best run that is fast enough
  python -m tuning.export --format keras,savedmodel,onnx,litert

formats:
FORMATS

Every exported model is opened in its own runtime, in a process that cannot import this project, and compared with the
original on validation images; if a prediction differs by more than 1e-4, the export is refused. The folder appears
complete or not at all. The model looks at the whole image: give it face crops, scaled as preprocessing.json says.

reads   a run's folder in artifacts/trials/, or artifacts/models/
writes  artifacts/exports/<name>/, or --out
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuning import cli
from tuning.core.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from tuning.core.options import RARE
from tuning.core.workspace import Workspace
from tuning.results.exporters import FORMATS, Format


def options() -> argparse.ArgumentParser:
    width = max(map(len, FORMATS))
    rows = [f"  {name:<{width}}  {form.product}: {form.title}{_needs(form)}" for name, form in FORMATS.items()]
    parser = cli.parser("export", __doc__.replace("FORMATS", "\n".join(rows)))
    which = parser.add_mutually_exclusive_group()
    search = which.add_argument(
        "--search",
        metavar="NAME",
        help="export the best run of this search by validation macro-F1 (default: the promoted model)",
    )
    cli.offer(search, cli.searches)
    one = which.add_argument(
        "--run",
        metavar="RUN",
        help="export this run, given by its id or short name (default: the promoted model)",
    )
    cli.offer(one, cli.runs)
    parser.add_argument(
        "--max-parameters",
        type=_positive(int),
        metavar="N",
        help="export the best run of the leaderboard with at most this many parameters; may be combined with --max-ms "
        "(default: no limit)",
    )
    parser.add_argument(
        "--max-ms",
        type=_positive(float),
        metavar="T",
        help="export the best run of the leaderboard that took at most this many milliseconds per image, measured in "
        "large batches on the machine that evaluated it (default: no limit)",
    )
    form = parser.add_argument(
        "--format",
        type=_formats,
        default=["keras"],
        metavar="NAME[,NAME]",
        help=f"formats to write: {', '.join(FORMATS)}, or several with commas (default: keras)",
    )
    cli.offer(form, lambda workspace: FORMATS)
    parser.add_argument_group(RARE).add_argument(
        "--no-signatures",
        dest="signatures",
        action="store_false",
        help="omit the signatures of the images that the model has seen; a search with it as --base then cannot "
        "tell whether it has seen the test images (default: signatures are written)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: artifacts/exports/<name>)")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str, int]:
    from tuning.results import sources
    from tuning.results.exporters.writing import export

    limited = args.max_parameters is not None or args.max_ms is not None
    if limited and (args.search is not None or args.run is not None):
        raise UsageError(
            "--max-parameters and --max-ms choose a row of the leaderboard, and so do --run and --search",
            "leave one of them out",
        )
    if limited:
        source = sources.fitting_source(workspace, args.max_parameters, args.max_ms)
    elif args.search is not None:
        source = sources.search_source(workspace, args.search)
    elif args.run is not None:
        source = sources.run_source(workspace, args.run)
    else:
        source = sources.promoted_source(workspace)
    result = export(workspace, source, args.format, args.out, console, args.signatures)
    lines = [f"exported {result['run_id']} to {result['directory']}: {', '.join(result['files'])}"]
    lines += [
        f"{name}: opened by {check['runtime']} in a process without this project; {check['images']} {check['origin']}, "
        f"largest difference {check['difference']:.1g}"
        for name, check in result["checked"].items()
    ]
    lines += [f"{name}: not written: {why}" for name, why in result["failed"].items()]
    return result, "\n".join(lines), EXIT_REFUSED if result["failed"] else EXIT_DONE


def _needs(form: Format) -> str:
    return f" (extra: {form.extra})" if form.extra else ""


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
        return value

    number.__name__ = getattr(kind, "__name__", "number")
    return number


def _formats(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        known = ", ".join(f"{name} ({form.product})" for name, form in FORMATS.items())
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {known}")
    return names


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
