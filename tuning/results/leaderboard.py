"""The leaderboard: one CSV row a run, best test macro-F1 first, byte for byte a function of the runs' metrics.json.

The runs' own files are the truth; the CSV is rebuilt from all of them under an inter-process lock, so that writers
that finish at the same moment lose nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.workspace import Workspace
from tuning.results.runs import REBUILD, read_runs

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]

#: Column -> type of its cells; an empty cell is None.
COLUMNS: dict[str, type] = {
    "run_id": str,
    "kind": str,
    "search": str,
    "trial": str,
    "rank": int,
    "space": str,
    "strategy": str,
    "seed": int,
    "epochs": int,
    "best_epoch": int,
    "parameters": int,
    "val_f1_macro": float,
    "test_f1_macro": float,
    "test_f1_macro_low": float,
    "test_f1_macro_high": float,
    "test_accuracy": float,
    "test_precision_macro": float,
    "test_recall_macro": float,
    "test_loss": float,
    "test_openings": int,
    "data_digest": str,
    "config_digest": str,
}
#: Columns whose cells may be empty: a run by `tuning.train` belongs to no search.
OPTIONAL = ("search", "trial", "rank", "strategy")
DIGEST_LENGTH = 12
LOCK_SECONDS = 60.0

_FORMULA_STARTS = ("=", "+", "-", "@")
_EMPTY_REMEDY = "train something first: python -m tuning.search, or python -m tuning.train for one run"


def row(metrics: Mapping[str, Any]) -> Row:
    """A run's row of typed values, by column."""
    test = metrics["test"]
    low, high = test["f1_macro_interval"]
    values = {
        **{name: metrics[name] for name in COLUMNS if name in metrics},
        "val_f1_macro": metrics["val"]["f1_macro"],
        "test_f1_macro": test["f1_macro"],
        "test_f1_macro_low": low,
        "test_f1_macro_high": high,
        **{f"test_{name}": test[name] for name in ("accuracy", "precision_macro", "recall_macro", "loss")},
        "data_digest": metrics["data_digest"][:DIGEST_LENGTH],
        "config_digest": metrics["config_digest"][:DIGEST_LENGTH],
    }
    return {name: None if values[name] is None else kind(values[name]) for name, kind in COLUMNS.items()}


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Highest test macro-F1 first; equal ones by run_id."""
    return sorted(rows, key=lambda entry: (-entry["test_f1_macro"], entry["run_id"]))


def to_csv(rows: Iterable[Row]) -> str:
    """The CSV text of `rows` in their order, header first, LF newlines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([cell(entry[name]) for name in COLUMNS] for entry in rows)
    return text.getvalue()


def cell(value: Any) -> str:
    """A value as a CSV cell: floats with 6 decimals, None empty, text that no spreadsheet takes for a formula.

    Control characters go; a text that starts with = + - @ gets an apostrophe in front (OWASP, CSV injection).
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, int):
        return str(value)
    # A leading tab or carriage return would also start a formula; both are control characters.
    text = "".join(character for character in value if unicodedata.category(character) != "Cc")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def from_csv(text: str, where: str) -> list[Row]:
    """The typed rows of a leaderboard's CSV text; `where` names it in errors.

    Raises:
        DataError: the header, the number of cells, or a number is not as `to_csv` writes it.
    """
    lines = csv.reader(io.StringIO(text, newline=""))
    remedy = f"run: {REBUILD}"
    rows = []
    try:
        if next(lines, None) != list(COLUMNS):
            raise DataError(f"{where}:1: the columns are not those of this version", remedy)
        for cells in lines:
            if len(cells) != len(COLUMNS):
                raise DataError(f"{where}:{lines.line_num}: {len(cells)} cells, expected {len(COLUMNS)}", remedy)
            rows.append({name: _value(name, content) for name, content in zip(COLUMNS, cells, strict=True)})
    except (ValueError, csv.Error) as error:
        raise DataError(f"{where}:{lines.line_num}: {error}", remedy) from None
    return rows


def differences(found: Sequence[Row], expected: Sequence[Row]) -> list[str]:
    """What a person would have to change in `found` to get `expected`, one phrase each."""
    before = {entry["run_id"]: entry for entry in found}
    after = {entry["run_id"]: entry for entry in expected}
    result = [f"{run_id}: not in the leaderboard" for run_id in after if run_id not in before]
    result += [f"{run_id}: in the leaderboard, but has no artifacts" for run_id in before if run_id not in after]
    for run_id in before.keys() & after.keys():
        result += [
            f"{run_id}: {name} is {cell(before[run_id][name]) or 'empty'}, the run says {cell(after[run_id][name])}"
            for name in COLUMNS
            if before[run_id][name] != after[run_id][name]
        ]
    return sorted(result)


def _value(name: str, content: str) -> Any:
    """A cell's typed value; ValueError where the column cannot hold it."""
    if content == "":
        if name in OPTIONAL:
            return None
        raise ValueError(f"{name} is empty")
    value = COLUMNS[name](content)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {content}")
    return value


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Holds the lock under which leaderboard and promoted model change. Not re-entrant.

    Raises:
        EnvironmentProblem: another process has held it for a minute.
    """
    from filelock import FileLock, Timeout

    workspace.outs.mkdir(parents=True, exist_ok=True)
    path = workspace.outs / ".leaderboard.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise EnvironmentProblem(
            f"another process has been holding {path} for {LOCK_SECONDS:.0f} s",
            "let it finish, or end it, and run the same command again",
        ) from None
    try:
        yield
    finally:
        lock.release()


def rebuild(workspace: Workspace) -> list[Row]:
    """Writes leaderboard.csv from all runs' own metrics.json and returns its rows, best first.

    Raises:
        DataError: a run's metrics.json cannot be trusted; the leaderboard stays as it was.
    """
    with locked(workspace):
        return write_under_lock(workspace, read_runs(workspace))


def write_under_lock(workspace: Workspace, runs: Iterable[Mapping[str, Any]]) -> list[Row]:
    """`rebuild` for a caller that already holds the lock and has read the runs."""
    rows = ranked(map(row, runs))
    text = to_csv(rows)
    # An unchanged file keeps its time stamp.
    if not workspace.leaderboard.is_file() or workspace.leaderboard.read_bytes() != text.encode():
        files.write_text(workspace.leaderboard, text)
    return rows


def read(workspace: Workspace) -> list[Row]:
    """The rows of leaderboard.csv as they stand, best first.

    Raises:
        DataError: there is no leaderboard, it is empty, or it is not one that this version wrote.
    """
    path = workspace.leaderboard
    if not path.is_file():
        if read_runs(workspace):
            raise DataError(f"{path} does not exist, but there are runs", f"run: {REBUILD}")
        raise empty(workspace)
    rows = from_csv(_text(workspace), str(path))
    if not rows:
        raise empty(workspace)
    return rows


def empty(workspace: Workspace) -> DataError:
    """The error for a leaderboard without a row."""
    return DataError(f"the leaderboard is empty: no finished run in {workspace.trials}", _EMPTY_REMEDY)


def verify(workspace: Workspace) -> list[str]:
    """How leaderboard.csv differs from the runs' own files; empty when it is exactly what `rebuild` would write.

    Raises:
        DataError: a run's metrics.json cannot be trusted.
    """
    expected = to_csv(ranked(map(row, read_runs(workspace))))
    if not workspace.leaderboard.is_file():
        return [f"{workspace.leaderboard} does not exist"]
    try:
        found = _text(workspace)
        rows = from_csv(found, str(workspace.leaderboard))
    except DataError as error:
        return [error.problem]
    if found == expected:
        return []
    # Rows that agree cell by cell can still stand in another order or under other line ends.
    return differences(rows, from_csv(expected, "expected")) or [
        "rows are repeated, or their order or the line ends differ"
    ]


def leaderboard_frame(workspace: Workspace) -> pandas.DataFrame:
    """leaderboard.csv as a pandas frame, best first; text as it stands in the file, missing numbers as <NA>.

    Raises:
        DataError: as `read`.
    """
    import pandas

    dtypes = {int: "Int64", float: "float64", str: "string"}
    frame = pandas.DataFrame(read(workspace), columns=list(COLUMNS))
    return frame.astype({name: dtypes[kind] for name, kind in COLUMNS.items()})


def _text(workspace: Workspace) -> str:
    try:
        return workspace.leaderboard.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{workspace.leaderboard} is not UTF-8: {error}", f"run: {REBUILD}") from None
