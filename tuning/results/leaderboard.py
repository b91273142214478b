"""The leaderboard: one row per run, best test macro-F1 first, derived from the runs' own metrics.json.

leaderboard.csv is written for people and other programs; its rows are never read back. It is always rebuilt from all
runs under an inter-process lock, so that processes that finish at the same moment lose no row.
"""

from __future__ import annotations

import contextlib
import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.workspace import Workspace
from tuning.results.runs import ranked, read_runs
from tuning.results.schema import Metrics, overlap_words

if TYPE_CHECKING:
    import pandas


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the leaderboard; the fields are the columns of the CSV, in order.

    A run made by `tuning.train` belongs to no search, so some of its cells are empty. Digests are shortened.
    """

    run_id: str
    kind: str
    search: str | None
    trial: str | None
    rank: int | None
    space: str
    strategy: str | None
    seed: int
    epochs: int
    best_epoch: int
    parameters: int
    val_f1_macro: float
    test_f1_macro: float
    test_f1_macro_low: float
    test_f1_macro_high: float
    test_accuracy: float
    test_precision_macro: float
    test_recall_macro: float
    test_loss: float
    test_evaluations: int = msgspec.field(name="test_openings")
    data_digest: str
    config_digest: str
    #: Digest of the base model and its overlap with the validation and test split; None if trained from scratch.
    base: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the cells by column name."""
        return msgspec.to_builtins(self)


#: Column names of the CSV.
COLUMNS = Row.__struct_encode_fields__
DIGEST_LENGTH = 12
LOCK_SECONDS = 60.0

_FORMULA_STARTS = ("=", "+", "-", "@")
_EMPTY_REMEDY = "train something first: python -m tuning.search, or python -m tuning.train for one run"


def row(metrics: Metrics) -> Row:
    """Returns a run's row."""
    test, base = metrics.test, metrics.base
    low, high = test.f1_macro_interval
    return Row(
        run_id=metrics.run_id,
        kind=metrics.kind,
        search=metrics.search,
        trial=metrics.trial,
        rank=metrics.rank,
        space=metrics.space,
        strategy=metrics.strategy,
        seed=metrics.seed,
        epochs=metrics.epochs,
        best_epoch=metrics.best_epoch,
        parameters=metrics.parameters,
        val_f1_macro=metrics.val.f1_macro,
        test_f1_macro=test.f1_macro,
        test_f1_macro_low=low,
        test_f1_macro_high=high,
        test_accuracy=test.accuracy,
        test_precision_macro=test.precision_macro,
        test_recall_macro=test.recall_macro,
        test_loss=test.loss,
        test_evaluations=metrics.test_evaluations,
        data_digest=metrics.data_digest[:DIGEST_LENGTH],
        config_digest=metrics.config_digest[:DIGEST_LENGTH],
        base=None if base is None else f"{base.sha256[:DIGEST_LENGTH]}, overlap {overlap_words(base.overlap)}",
    )


def to_csv(runs: Iterable[Metrics]) -> str:
    """Returns the CSV text: the header, then the rows of `runs` in the given order, with LF newlines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cell, msgspec.structs.astuple(row(metrics))) for metrics in runs)
    return text.getvalue()


def cell(value: Any) -> str:
    """Formats a value as a CSV cell: floats with 6 decimals, None as empty, text so that it is never a formula.

    Control characters are removed, and a text that starts with = + - @ is prefixed with an apostrophe (OWASP, CSV
    injection).
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


def differences(found: str, expected: str) -> list[str]:
    """Compares the CSV text of a leaderboard with the expected one; returns one phrase per differing cell or row."""
    if found == expected:
        return []
    try:
        before, after = _lines(found), _lines(expected)
    except csv.Error as error:
        return [f"it is no CSV: {error}"]
    header = (before.pop(0)[1] if before else []), after.pop(0)[1]
    if header[0] != header[1]:
        return [f"line 1: the columns are {','.join(header[0]) or 'missing'}, expected {','.join(header[1])}"]
    wanted = {cells[0]: cells for _, cells in after}
    result = []
    seen: set[str] = set()
    for number, cells in before:
        run_id = cells[0] if cells else ""
        if run_id not in wanted:
            result.append(f"line {number}: there is no run {run_id!r}")
        elif run_id in seen:
            result.append(f"line {number}: {run_id} is there twice")
        elif len(cells) != len(COLUMNS):
            result.append(f"line {number}: {len(cells)} cells, expected {len(COLUMNS)}")
        else:
            result += [
                f"line {number}: {name} of {run_id} is {old or 'empty'}, its metrics.json says {new or 'nothing'}"
                for name, old, new in zip(COLUMNS, cells, wanted[run_id], strict=True)
                if old != new
            ]
        seen.add(run_id)
    result += [f"{run_id} is missing" for run_id in wanted if run_id not in seen]
    return result or ["rows are in another order, or lines end otherwise"]


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Parses CSV text; returns (line number of the row's last line, cells) for each row."""
    reader = csv.reader(io.StringIO(text, newline=""))
    return [(reader.line_num, cells) for cells in reader]


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Holds the lock that guards the leaderboard and the promoted model. Not re-entrant.

    Raises:
        EnvironmentProblem: another process has held the lock for `LOCK_SECONDS`.
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


def rebuild(workspace: Workspace) -> list[Metrics]:
    """Writes leaderboard.csv from the metrics.json of all runs; returns the metrics, best first.

    Raises:
        DataError: a run's metrics.json is invalid; the leaderboard is left unchanged.
    """
    with locked(workspace):
        return write_under_lock(workspace, read_runs(workspace))


def write_under_lock(workspace: Workspace, runs: Iterable[Metrics]) -> list[Metrics]:
    """Does the same as `rebuild`, for a caller that already holds the lock and has read the runs."""
    in_order = ranked(runs)
    text = to_csv(in_order)
    # An unchanged file keeps its modification time.
    if not workspace.leaderboard.is_file() or workspace.leaderboard.read_bytes() != text.encode():
        files.write_text(workspace.leaderboard, text)
    return in_order


def read(workspace: Workspace) -> list[Metrics]:
    """Returns the metrics of all runs, best first, read from the runs' own files and not from leaderboard.csv.

    Raises:
        DataError: there is no run, or a run's metrics.json is invalid.
    """
    runs = ranked(read_runs(workspace))
    if not runs:
        raise empty(workspace)
    return runs


def empty(workspace: Workspace) -> DataError:
    """Returns the error for a leaderboard without rows."""
    return DataError(f"the leaderboard is empty: no finished run in {workspace.trials}", _EMPTY_REMEDY)


def verify(workspace: Workspace, runs: Sequence[Metrics] | None = None) -> list[str]:
    """Returns how leaderboard.csv differs from the runs' own files; empty if it is exactly what `rebuild` would write.

    Args:
        runs: the result of `read`; None to read the runs here.

    Raises:
        DataError: a run's metrics.json is invalid.
    """
    if runs is None:
        runs = ranked(read_runs(workspace))
    path = workspace.leaderboard
    if not path.is_file():
        return [f"{path} does not exist"]
    try:
        found = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return [f"{path} is not UTF-8: {error}"]
    return differences(found, to_csv(runs))


def leaderboard_frame(workspace: Workspace) -> pandas.DataFrame:
    """Returns the leaderboard as a pandas frame, best first; missing cells are <NA>.

    Raises:
        DataError: as `read`.
    """
    import pandas

    dtypes = {"int": "Int64", "float": "float64", "str": "string"}
    frame = pandas.DataFrame([row(metrics).to_json() for metrics in read(workspace)], columns=list(COLUMNS))
    kinds = [str(kind).partition(" ")[0] for kind in Row.__annotations__.values()]
    return frame.astype({name: dtypes[kind] for name, kind in zip(COLUMNS, kinds, strict=True)})
