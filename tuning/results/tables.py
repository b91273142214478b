"""The leaderboard as aligned text for a terminal, as Markdown, and as CSV with the fields of `standings`. Pure."""

from __future__ import annotations

import csv
import functools
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuning.core import colour
from tuning.core.output import GAP, aligned, display_width
from tuning.results.answers import BETTER, NARROW, SECOND_SEED, SEEDS_UNKNOWN, TIED, WORSE
from tuning.results.leaderboard import cell
from tuning.results.markdown import escaped, table
from tuning.results.schema import FEW, overlap_words
from tuning.results.standings import BEST, Seeds, Standing

if TYPE_CHECKING:
    from tuning.results.comparison import SeedNoise

_MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: header.
        text: returns the cell's text for a row.
        right: whether the cells are right-aligned.
        need: columns with need 0 are always shown; in a narrow terminal, those with a lower need take precedence.
        short: header in a terminal; empty to use `name`.
    """

    name: str
    text: Callable[[Standing], str]
    right: bool = True
    need: int = 99
    short: str = ""


#: All columns, in display order.
TABLE = (
    Column("#", lambda entry: str(entry.place), need=0),
    Column("name", lambda entry: entry.name, right=False, need=0),
    Column("run", lambda entry: cell(entry.row.run_id), right=False, need=12),
    Column("kind", lambda entry: cell(entry.row.kind), right=False, need=4),
    Column("space", lambda entry: cell(entry.row.space), right=False, need=18),
    Column("strategy", lambda entry: cell(entry.row.strategy) or _MISSING, right=False, need=17),
    Column("seed", lambda entry: str(entry.row.seed), need=13),
    Column("epochs", lambda entry: f"{entry.row.best_epoch}/{entry.row.epochs}", need=14),
    Column("parameters", lambda entry: f"{entry.row.parameters:,}", need=11),
    Column("val F1", lambda entry: f"{entry.row.val_f1_macro:.3f}", need=5),
    Column("test F1", lambda entry: f"{entry.row.test_f1_macro:.3f}", need=0),
    Column(
        "95 % interval",
        lambda entry: f"{entry.row.test_f1_macro_low:.3f}–{entry.row.test_f1_macro_high:.3f}",
        right=False,
        need=1,
    ),
    Column("corrected", lambda entry: _corrected(entry), need=9),
    Column("vs best", lambda entry: entry.verdict or _MISSING, right=False, need=2),
    Column("over seeds", lambda entry: _deviation(entry.seeds) if entry.seeds else _MISSING, right=False, need=10),
    Column("units", lambda entry: _units(entry), need=12),
    Column("accuracy", lambda entry: f"{entry.row.test_accuracy:.3f}", need=15),
    Column("loss", lambda entry: f"{entry.row.test_loss:.3f}", need=16),
    Column("test evaluations", lambda entry: str(entry.row.test_evaluations), need=6, short="tests"),
    Column("base", lambda entry: cell(entry.row.base) or _MISSING, right=False, need=7),
    Column("data", lambda entry: entry.row.data_digest, right=False, need=3),
)


def leaderboard_table(
    rows: Sequence[Standing],
    width: int | None = None,
    evaluations: Mapping[str, int] | None = None,
    coloured: bool = False,
) -> str:
    """Returns the leaderboard as text for people: scores with three decimals, the interval next to its score.

    Args:
        rows: the result of `standings`, at least one row.
        width: width of the terminal in characters: the table has the columns that fit, followed by separate tables of
            F1 by class and of means over seeds, and by notes. None: one table with every column and F1 by class.
        evaluations: number of evaluations on the test split, by the shortened digest of the data set.
        coloured: paint the best row and rows "better in the mean" green, tied rows yellow, worse rows red.
    """
    columns = _columns(rows)
    if width is None:
        return _aligned([*columns, *_class_columns(rows, "F1 ")], rows)
    columns = [replace(column, name=column.short or column.name) for column in columns]
    chosen = _fitting(columns, rows, width)
    parts = [
        _painted(_aligned(chosen, rows), rows) if coloured else _aligned(chosen, rows),
        *_class_tables(rows, width),
    ]
    if all(column.name != "over seeds" for column in chosen):
        parts += _seed_table(rows, width)
    return "\n\n".join([*parts, "\n".join(_notes(rows, chosen, width, evaluations or {}))])


def _painted(text: str, rows: Sequence[Standing]) -> str:
    kinds = {BEST: "good", BETTER: "good", TIED: "tie", WORSE: "bad"}
    header, *lines = text.splitlines()
    painted = [colour.painted(line, kinds.get(row.verdict or "", "")) for line, row in zip(lines, rows, strict=True)]
    return "\n".join([header, *painted])


def leaderboard_markdown(rows: Sequence[Standing]) -> str:
    """Returns the table with every column in GitHub's Markdown."""
    columns = [*_columns(rows), *_class_columns(rows, "F1 ")]
    cells = [[escaped(column.text(row)) for column in columns] for row in rows]
    return table([escaped(column.name) for column in columns], cells, [column.right for column in columns])


def leaderboard_csv(rows: Sequence[Standing]) -> str:
    """Returns CSV with the columns of leaderboard.csv, those of `standings`, and F1 by class; no cell is a formula.

    Args:
        rows: the result of `standings`, at least one row.
    """
    classes, entries = _classes(rows), [row.to_json() for row in rows]
    columns = [name for name in entries[0] if name != "per_class"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *(f"f1_{cell(name)}" for name in classes)])
    for entry in entries:
        values = [*map(entry.get, columns), *map(entry["per_class"].get, classes)]
        writer.writerow(map(cell, values))
    return text.getvalue()


def _columns(rows: Sequence[Standing]) -> list[Column]:
    """Returns the columns without those that are empty or equal in all rows."""
    # Runs tested on different data are not comparable, so the data column is shown if there are several data sets.
    omitted = {"data"} if len({entry.row.data_digest for entry in rows}) == 1 else set()
    if not any(entry.seeds for entry in rows):
        omitted.add("over seeds")
    if not any(entry.row.base for entry in rows):
        omitted.add("base")
    if not any(entry.corrected is not None and (entry.compared or 0) > 1 for entry in rows):
        omitted.add("corrected")
    if not any(entry.test.dependent for entry in rows):
        omitted.add("units")
    return [column for column in TABLE if column.name not in omitted]


def _aligned(columns: Sequence[Column], rows: Sequence[Standing]) -> str:
    cells = [[column.text(row) for column in columns] for row in rows]
    return aligned([column.name for column in columns], cells, [column.right for column in columns])


def _fitting(columns: Sequence[Column], rows: Sequence[Standing], width: int) -> list[Column]:
    """Returns the columns that fit into `width` characters, in display order."""
    sizes = {column.name: max(map(display_width, [column.name, *map(column.text, rows)])) + GAP for column in columns}
    # A gap precedes each column but the first.
    left, chosen = width + GAP, set()
    for column in sorted(columns, key=lambda column: column.need):
        if column.need > 0 and sizes[column.name] > left:
            # Stop here: a column with a higher need is not shown instead, even if it is narrow enough.
            break
        chosen.add(column.name)
        left -= sizes[column.name]
    return [column for column in columns if column.name in chosen]


def _classes(rows: Sequence[Standing]) -> list[str]:
    return list(dict.fromkeys(name for entry in rows for name in entry.per_class))


def _class_columns(rows: Sequence[Standing], before: str = "") -> list[Column]:
    return [Column(before + cell(name), functools.partial(_f1_of, name)) for name in _classes(rows)]


def _f1_of(name: str, entry: Standing) -> str:
    figure = entry.per_class.get(name)
    return _MISSING if figure is None else f"{figure:.3f}"


def _class_tables(rows: Sequence[Standing], width: int) -> Iterator[str]:
    """Yields tables of F1 by class, each with as many classes as fit into the width."""
    pending, title = _class_columns(rows), "F1 by class"
    while pending:
        count = len(pending)
        while count > 1 and _table_width([TABLE[0], *pending[:count]], rows) > width:
            count -= 1
        yield f"{title}\n{_aligned([TABLE[0], *pending[:count]], rows)}"
        pending = pending[count:]


def _claims(rows: Sequence[Standing]) -> Iterator[str]:
    """Yields notes on the verdicts in the column `vs best`."""
    by_data = _by_data(rows)
    several = len(by_data) > 1
    noises = {data: entry.noise for data, own in by_data.items() for entry in own if entry.noise}
    seeds = "".join(
        f"{f'; on data {data} also' if several else ' and'} the luck of a training seed "
        f"(deviation beyond that choice {noise.deviation:.3f}, {_repeated(noise)})"
        for data, noise in noises.items()
    )
    yield (
        "vs best: tied where the 95 % interval of the difference to the best includes 0. All rows "
        f"{'on the same data ' * several}are compared at once; the interval covers the choice of test images{seeds}."
    )
    few = [data for data, noise in noises.items() if noise.degrees < NARROW]
    if any(entry.verdict == TIED for data in few for entry in by_data[data]):
        yield "That interval is wide because few runs were repeated: more seeds of any row would narrow it a lot."
    if any(entry.verdict == BETTER for entry in rows):
        yield (
            f"{BETTER}: its configuration is better over its seeds, beyond chance, than that of the best row, whose "
            "run has the highest score by luck; the highest score is promoted."
        )
    if any(entry.verdict == SEEDS_UNKNOWN for entry in rows):
        yield (
            "seeds unknown: the choice of test images does not explain the difference, the luck of a training seed "
            f"may: {SECOND_SEED}."
        )
    if any(entry.verdict is None for entry in rows):
        yield (
            f"{_MISSING}: not compared, because its predictions or those of the best were not kept (or it was "
            "tested on other data)."
        )


def _by_data(rows: Sequence[Standing]) -> dict[str, list[Standing]]:
    """Groups the rows by the shortened digest of the data that they were tested on."""
    found: dict[str, list[Standing]] = {}
    for entry in rows:
        found.setdefault(entry.row.data_digest, []).append(entry)
    return found


def _repeated(noise: SeedNoise) -> str:
    return f"from {noise.degrees:,} repeated run{'s' * (noise.degrees != 1)}"


def _score(rows: Sequence[Standing]) -> Iterator[str]:
    """Yields notes on the corrected best score, the test units, and classes with too few test images."""
    for entry in rows:
        if entry.corrected is not None and (entry.compared or 0) > 1:
            yield (
                f"#{entry.place} is the highest of {entry.compared} on the test split: {entry.row.test_f1_macro:.3f}, "
                f"corrected for that {entry.corrected:.3f} (chosen on resampled images, scored on the others)."
            )
    for own in _by_data(rows).values():
        # All rows on the same data share the test images, so any row will do.
        test = own[0].test
        if test.dependent:
            yield (
                f"Intervals are over {test.independent}: the {test.images:,} test images hold copies, "
                "faces of one photo or images of one person."
            )
        if test.missing:
            yield f"Without a test image, and so with an F1 of 0 in the mean: {', '.join(map(cell, test.missing))}."
        if few := [cell(name) for name, found in test.per_class.items() if found.few and found.support]:
            which = "independent test images" if test.dependent else "test images"
            yield f"Too few {which} to tell (fewer than {FEW}): {', '.join(few)}."


def _bases(rows: Sequence[Standing]) -> Iterator[str]:
    """Yields a note per base that has seen validation or test images, or of which that is unknown."""
    by_base: dict[str, list[int]] = {}
    for entry in rows:
        if entry.row.base and not entry.row.base.endswith(f"overlap {overlap_words(0)}"):
            by_base.setdefault(entry.row.base, []).append(entry.place)
    for base, places in by_base.items():
        yield f"{', '.join(f'#{place}' for place in places)}: started from base {cell(base)}."


def _table_width(columns: Sequence[Column], rows: Sequence[Standing]) -> int:
    return max(map(display_width, _aligned(columns, rows).splitlines()))


def _seed_table(rows: Sequence[Standing], width: int) -> Iterator[str]:
    groups: dict[Seeds, list[Standing]] = {}
    for entry in rows:
        if entry.seeds:
            groups.setdefault(entry.seeds, []).append(entry)
    if not groups:
        return
    lines = [
        [
            _deviation(seeds),
            ", ".join(f"#{entry.place}" for entry in members),
            cell(members[0].row.run_id).rpartition("-s")[0],
        ]
        for seeds, members in sorted(groups.items(), key=lambda group: -group[0].mean)
    ]
    text = aligned(["test F1", "runs", "configuration"], lines, [False, False, False])
    kept = [line if display_width(line) <= width else line[: width - 1] + "…" for line in text.splitlines()]
    yield "\n".join(["Mean ± standard deviation over seeds", *kept])


def _corrected(entry: Standing) -> str:
    """Returns the corrected score and the number of runs that it was chosen from."""
    return _MISSING if entry.corrected is None else f"{entry.corrected:.3f} (of {entry.compared})"


def _units(entry: Standing) -> str:
    return f"{entry.test.units:,} of {entry.test.images:,}" if entry.test.dependent else _MISSING


def _deviation(seeds: Seeds) -> str:
    return f"{seeds.mean:.3f} ± {seeds.deviation:.3f} ({seeds.count})"


def _notes(
    rows: Sequence[Standing], columns: Sequence[Column], width: int, evaluations: Mapping[str, int]
) -> Iterator[str]:
    shown = {column.name for column in columns}
    notes = ["val F1: of the published model, its epoch or members chosen on validation; test F1: of the same model."]
    if "vs best" in shown and len(rows) > 1:
        notes += _claims(rows)
    notes += _score(rows)
    if "base" not in shown:
        notes += _bases(rows)
    if evaluations:
        total = [f"{count:,}" if len(evaluations) == 1 else f"{data}: {count:,}" for data, count in evaluations.items()]
        one = "tests: how often models of that run were evaluated on the test split; " if "tests" in shown else ""
        notes.append(f"{one or 'evaluations on the test split '}in all: {', '.join(total)}.")
    if len(columns) < len(_columns(rows)):
        notes.append("--wide shows all columns.")
    for note in notes:
        yield textwrap.fill(note, width, subsequent_indent="  ")
