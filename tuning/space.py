"""Lists a search space: names, ranges, defaults, conditions.

  python -m tuning.space
  python -m tuning.space --space fine_tune
  python -m tuning.space --space my_models.cnn:build_model
  python -m tuning.space --json

A few configurations are built and none is trained. They are built for the data prepared in --root or, without any, for
grayscale images of 48 × 48 pixels and seven classes. Use the names and values in `train --hp NAME=VALUE` and
`search --try NAME=VALUE,…`.

reads   the description of the prepared data in data/cls_data, if there is one
writes  nothing
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuning import cli
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.trials.list_space import Hyperparameter, Listing

#: Image shape and number of classes of FER2013: models are built for these if no data are prepared.
SHAPE, CLASSES = (48, 48, 1), 7
#: Width down to which columns are wrapped, and width of a table if there is no terminal.
_NARROW, _WIDE = 16, 160


def options() -> argparse.ArgumentParser:
    from search_spaces import SPACES

    parser = cli.parser("space", __doc__)
    space = parser.add_argument(
        "--space",
        default="baseline_cnn",
        metavar="SPACE",
        help=f"one of {', '.join(SPACES)}, or your own builder as package.module:function (default: %(default)s)",
    )
    cli.offer(space, lambda workspace: SPACES)
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.core.errors import DataError
    from tuning.core.quiet import without_greeting
    from tuning.dataset.store.arrays import read_info
    from tuning.dataset.store.description import DESCRIPTION
    from tuning.pipeline.session import import_keras
    from tuning.trials.spaces import space_digest

    try:
        info = read_info(workspace)
        shape, classes = info.input_shape, len(info.classes)
    except DataError:
        if (workspace.split / DESCRIPTION).exists():
            raise
        shape, classes = SHAPE, CLASSES
        console.say(
            f"no prepared data in {workspace.root}: models are built for images and classes as FER2013 has them"
        )
    # Refuse an unknown space before Keras is imported, which takes seconds; but a builder's module may import it.
    # What a builder prints is no result: it goes to stderr.
    with contextlib.redirect_stdout(sys.stderr):
        with without_greeting():
            space_digest(args.space)
        import_keras()
        import msgspec

        from tuning.trials.jobs import plain
        from tuning.trials.list_space import list_space

        found = list_space(args.space, shape, classes)
    return msgspec.to_builtins(found, enc_hook=plain), text(found, cli.terminal_width() or _WIDE)


def text(found: Listing, width: int) -> str:
    """Formats the space as text, in lines of at most `width` characters."""
    size = "×".join(map(str, found.input_shape))
    free = len({entry.name for entry in found.hyperparameters if entry.kind != "fixed"})
    lines = [f"{found.space}: {free} hyperparameters, for images of {size} in {found.classes} "]
    lines[0] += "classes; the defaults are its baseline"
    rows = [_row(entry) for entry in found.hyperparameters]
    header = ("name", "values", "default", "sampling", "only with")
    shown = [place for place in range(len(header)) if place < 3 or any(row[place] for row in rows)]
    table = [[row[place] for place in shown] for row in (header, *rows)]
    lines = [*textwrap.wrap(lines[0], width), "", *_table(table, width)]
    if found.starting_points:
        lines += ["", "starting points, tried right after the defaults:"]
    for number, point in enumerate(found.starting_points, start=1):
        words = f"{number}  " + ", ".join(f"{name}={_text(value)}" for name, value in point.items())
        lines += textwrap.wrap(words, width, initial_indent="  ", subsequent_indent="     ", break_on_hyphens=False)
    return "\n".join(lines)


def _row(entry: Hyperparameter) -> tuple[str, ...]:
    if entry.values is not None:
        values = ", ".join(map(_text, entry.values))
    else:
        whole = "whole numbers, " if entry.kind == "int" else ""
        step = f", steps of {_text(entry.step)}" if entry.step not in (None, 1) else ""
        values = f"{whole}{_text(entry.low)} to {_text(entry.high)}{step}"
    conditions = "; ".join(f"{one.name}={' or '.join(map(_text, one.values))}" for one in entry.conditions)
    return (entry.name, values, _text(entry.default), entry.sampling or "", conditions)


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Formats rows as columns; if these are too wide together, the widest are wrapped."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROW:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in rows:
        cells = [
            textwrap.wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(row, widths, strict=True)
        ]
        for level in range(max(map(len, cells))):
            parts = (cell[level] if level < len(cell) else "" for cell in cells)
            padded = (f"{part:<{size}}" for part, size in zip(parts, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return lines


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
