"""The leaderboard as aligned text for a terminal, as Markdown, and as CSV with all that `standings` adds. Pure."""

from __future__ import annotations

import csv
import io
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tuning.results.leaderboard import COLUMNS, Row, cell
from tuning.results.markdown import escaped, table
from tuning.results.standings import ADDED, configuration_key

_GAP = 2
#: A run's name may be cut to this width, its end kept, to make room for figures.
_SHORTEST_NAME = 20
_MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: its header.
        text: what a row shows there.
        right: whether its cells are flush right.
        need: columns of need 0 are always shown; of the others, in a narrow terminal, the lower come first.
    """

    name: str
    text: Callable[[Row], str]
    right: bool = True
    need: int = 99


def _optional(name: str, form: str) -> Callable[[Row], str]:
    return lambda row: _MISSING if row[name] is None else format(row[name], form)


#: In the order in which they stand.
TABLE = (
    Column("#", lambda row: str(row["place"]), need=0),
    Column("run", lambda row: cell(row["run_id"]), right=False, need=0),
    Column("kind", lambda row: cell(row["kind"]), right=False, need=11),
    Column("space", lambda row: cell(row["space"]), right=False, need=18),
    Column("strategy", lambda row: cell(row["strategy"]) or _MISSING, right=False, need=17),
    Column("seed", lambda row: str(row["seed"]), need=13),
    Column("epochs", lambda row: f"{row['best_epoch']}/{row['epochs']}", need=14),
    Column("parameters", lambda row: f"{row['parameters']:,}", need=4),
    Column("val F1", lambda row: f"{row['val_f1_macro']:.3f}", need=12),
    Column("test F1", lambda row: f"{row['test_f1_macro']:.3f}", need=0),
    Column(
        "95 % interval",
        lambda row: f"{row['test_f1_macro_low']:.3f}–{row['test_f1_macro_high']:.3f}",
        right=False,
        need=1,
    ),
    Column("vs best", lambda row: row["standing"] or _MISSING, right=False, need=2),
    Column("over seeds", lambda row: _deviation(row) if row["seeds"] else _MISSING, right=False, need=10),
    Column("accuracy", lambda row: f"{row['test_accuracy']:.3f}", need=15),
    Column("loss", lambda row: f"{row['test_loss']:.3f}", need=16),
    Column("opened", lambda row: str(row["test_openings"]), need=5),
    Column("data", lambda row: row["data_digest"], right=False, need=3),
)
#: Columns up to this need are worth a shortened name.
_WORTH_SHORTENING = 9


def leaderboard_table(rows: Sequence[Row], width: int | None = None, openings: Mapping[str, int] | None = None) -> str:
    """The leaderboard as a person reads it: three decimals, the interval beside its figure.

    Args:
        rows: as `standings` returns them, at least one.
        width: of the terminal, in characters: then the columns that fit, and below them, in tables of their own, F1 by
            class, mean and deviation over seeds, and what the words mean. None: one table, every column, F1 by class
            included.
        openings: how often the test split of each data set was opened.
    """
    columns = _columns(rows)
    if width is None:
        return _aligned([*columns, *_class_columns(rows, "F1 ")], rows)
    chosen, name_width = _fitting(columns, rows, width)
    named = [
        Column(column.name, _shortened(name_width), right=False) if column.name == "run" else column
        for column in chosen
    ]
    parts = [_aligned(named, rows), *_class_tables(rows, width)]
    if all(column.name != "over seeds" for column in chosen):
        parts += _seed_table(rows, width)
    return "\n\n".join([*parts, "\n".join(_notes(rows, chosen, width, openings or {}))])


def leaderboard_markdown(rows: Sequence[Row]) -> str:
    """The table with every column in GitHub's Markdown."""
    columns = [*_columns(rows), *_class_columns(rows, "F1 ")]
    cells = [[escaped(column.text(row)) for column in columns] for row in rows]
    return table([escaped(column.name) for column in columns], cells, [column.right for column in columns])


def leaderboard_csv(rows: Sequence[Row]) -> str:
    """The columns of leaderboard.csv, what `standings` adds, and F1 by class; no cell is a formula."""
    names = _classes(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *ADDED, *(f"f1_{cell(name)}" for name in names)])
    for row in rows:
        per_class = row["per_class"] or {}
        writer.writerow(
            cell(value) for value in [*(row[name] for name in (*COLUMNS, *ADDED)), *map(per_class.get, names)]
        )
    return text.getvalue()


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns padded to their widest cell, two blanks between; `right` says which are flush right."""
    widths = [max(map(display_width, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for cells in (header, *rows):
        padded = []
        for text, width, flush in zip(cells, widths, right, strict=True):
            blanks = " " * (width - display_width(text))
            padded.append(blanks + text if flush else text + blanks)
        lines.append((" " * _GAP).join(padded).rstrip())
    return "\n".join(lines)


def display_width(text: str) -> int:
    """The columns that `text` takes in a terminal: two for each wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that have something to say about these rows."""
    # Figures of runs that were tested on different data are not comparable.
    idle = {"data"} if len({row["data_digest"] for row in rows}) == 1 else set()
    if not any(row["seeds"] for row in rows):
        idle.add("over seeds")
    return [column for column in TABLE if column.name not in idle]


def _aligned(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    cells = [[column.text(row) for column in columns] for row in rows]
    return aligned([column.name for column in columns], cells, [column.right for column in columns])


def _fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> tuple[list[Column], int]:
    """The columns to show in so many characters, in their order, and how wide the name of a run may be."""
    sizes = {column.name: max(map(display_width, [column.name, *map(column.text, rows)])) + _GAP for column in columns}
    name = sizes["run"] - _GAP
    chosen = {column.name for column in columns if column.need == 0}
    # Two blanks precede each column but the first.
    left = width + _GAP - sum(sizes[other] for other in chosen)
    for column in sorted(columns, key=lambda column: column.need):
        spare = max(0, name - _SHORTEST_NAME) if column.need <= _WORTH_SHORTENING else 0
        if column.name not in chosen and sizes[column.name] <= left + spare:
            chosen.add(column.name)
            left -= sizes[column.name]
    return [column for column in columns if column.name in chosen], max(1, min(name, name + left))


def _shortened(width: int) -> Callable[[Row], str]:
    """A run's name in so many characters: its end tells runs of a search apart."""

    def text(row: Row) -> str:
        name = cell(row["run_id"])
        return name if display_width(name) <= width else "…" + name[len(name) - width + 1 :]

    return text


def _classes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["per_class"] or ()))


def _class_columns(rows: Sequence[Row], before: str = "") -> list[Column]:
    def text(name: str) -> Callable[[Row], str]:
        return lambda row: _MISSING if name not in (row["per_class"] or ()) else f"{row['per_class'][name]:.3f}"

    return [Column(before + cell(name), text(name)) for name in _classes(rows)]


def _class_tables(rows: Sequence[Row], width: int) -> Iterator[str]:
    """F1 by class in as many tables as it takes to fit them into the width."""
    pending, title = _class_columns(rows), "F1 by class"
    while pending:
        count = len(pending)
        while count > 1 and _table_width([TABLE[0], *pending[:count]], rows) > width:
            count -= 1
        yield f"{title}\n{_aligned([TABLE[0], *pending[:count]], rows)}"
        pending = pending[count:]


def _table_width(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    return max(map(display_width, _aligned(columns, rows).splitlines()))


def _seed_table(rows: Sequence[Row], width: int) -> Iterator[str]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["seeds"]:
            groups.setdefault(configuration_key(row), []).append(row)
    if not groups:
        return
    lines = [
        [
            _deviation(members[0]),
            ", ".join(f"#{row['place']}" for row in members),
            cell(members[0]["run_id"]).rpartition("-s")[0],
        ]
        for members in sorted(groups.values(), key=lambda members: -members[0]["seeds_mean"])
    ]
    text = aligned(["test F1", "runs", "configuration"], lines, [False, False, False])
    kept = [line if display_width(line) <= width else line[: width - 1] + "…" for line in text.splitlines()]
    yield "\n".join(["Mean ± standard deviation over seeds", *kept])


def _deviation(row: Row) -> str:
    return f"{row['seeds_mean']:.3f} ± {row['seeds_deviation']:.3f} ({row['seeds']})"


def _notes(rows: Sequence[Row], columns: Sequence[Column], width: int, openings: Mapping[str, int]) -> Iterator[str]:
    shown = {column.name for column in columns}
    notes = []
    if "vs best" in shown and len(rows) > 1:
        notes.append(
            "vs best: tied where the 95 % interval of the difference to the best includes 0 (paired bootstrap over the "
            "same test images; another training seed may change more)."
        )
        if any(row["standing"] is None for row in rows):
            notes.append(
                f"{_MISSING}: not compared, because what it or the best predicted of the test images is not there (or "
                "it was tested on other data)."
            )
    if "opened" in shown and openings:
        total = [f"{count:,}" if len(openings) == 1 else f"{data}: {count:,}" for data, count in openings.items()]
        notes.append(f"opened: how often the test split was opened for that run; in all: {', '.join(total)}.")
    if len(columns) < len(_columns(rows)):
        notes.append("--wide shows all columns.")
    for note in notes:
        yield textwrap.fill(note, width, subsequent_indent="  ")
