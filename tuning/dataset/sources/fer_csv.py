"""Tables of faces such as FER2013's: one row per face, with a column of labels and one of pixels (or one per pixel).

Names, delimiter and order of the columns may vary. Rows of all usages (training, test, …) become one pool.
"""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.core.errors import DataError
from tuning.dataset.decode import MIN_CROP, UnreadableImage
from tuning.dataset.sources import table_columns
from tuning.dataset.sources.inventory import RawTree, parent, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample, are_many, clean_label
from tuning.dataset.sources.table_columns import Columns

#: In the order of FER2013's numbers.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
#: Characters of a field: enough for an image of 1000 × 1000 pixels in full-precision decimals.
_MAX_FIELD = 24_000_000
_NUMBER = re.compile(r"\+?(\d{1,6})(\.0*)?$", re.ASCII)
_PUNCTUATION_TO_BLANKS = str.maketrans("[](){};,|", "         ")
#: Tables and arrays that are not read.
_FOREIGN = (
    *(".xlsx", ".xls", ".ods", ".parquet", ".feather", ".npz", ".npy", ".h5", ".hdf5", ".mat", ".pkl", ".pickle"),
    *(".tfrecord", ".tfrecords", ".arrow", ".sqlite", ".db", ".json", ".jsonl", ".ndjson"),
)
REMEDY = (
    "name the columns emotion (0 to 6, or words) and pixels (numbers from 0 to 255), or put each class's images in a "
    "folder named after the class"
)


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether a table directly in `prefix` has a column of labels and one of pixels, or one per pixel."""
    return bool(_tables(tree, prefix))


def describe(tree: RawTree) -> str:
    """Describes a table that is not read: its columns, or its format; "" if there is none."""
    found = [path for path in tree.files if suffix(path) in table_columns.SUFFIXES]
    if not found:
        for path in tree.files:
            if suffix(path) in _FOREIGN:
                return f"{tree.root / path} is a table or archive of a kind that is not read"
            if suffix(path) == ".txt" and table_columns.read(tree.root / path) is not None:
                return f"{tree.root / path} is a table of faces, but only those called .csv or .tsv are read"
        return ""
    columns = ", ".join(filter(None, table_columns.names(tree.root / found[0])))
    if not columns:
        return ""
    return f"{tree.root / found[0]} has the columns {columns}; a table of faces has one of labels and one of pixels"


def lists_files(tree: RawTree) -> str | None:
    """Returns the path of a table that lists image files with their classes, or None."""
    tables = (path for path in tree.files if suffix(path) in (*table_columns.SUFFIXES, ".txt"))
    return next((path for path in tables if table_columns.names_files(tree.root / path)), None)


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Lists every row as a sample, lazily; `crop` has no effect here.

    Raises:
        DataError: several rows have the same invalid label.
    """
    tables = {path: _Table.read(tree.root / path, columns) for path, columns in _tables(tree, prefix).items()}
    classes: dict[str, str] = {}
    for path, table in tables.items():
        for label in table.labels.values():
            classes.setdefault(label, path)
    notes = [note for path, table in tables.items() if (note := table.note(path))]
    as_fer = [path for path, table in tables.items() if table.columns.is_fer and table.labels and not table.in_words]
    if as_fer and EMOTIONS[0] not in classes:
        notes.append(
            f"No row of {', '.join(as_fer)} has the emotion 0 ({EMOTIONS[0]}): look whether they are numbered from 1."
        )
    return Listing(
        classes=classes,
        items=_items(tree, prefix, tables),
        notes=tuple(notes),
        empty_is_error=False,
    )


def parse_pixels(text: str) -> np.ndarray:
    """Converts a row's pixel values to uint8 RGB (side, side, 3).

    The values are numbers from 0 to 255 in any notation, possibly with brackets or commas. If all are from 0 to 1 and
    some are fractions, they are multiplied by 255.

    Raises:
        UnreadableImage: a value is invalid, or their number is not a square.
    """
    try:
        values = np.frombuffer(bytes(map(int, text.split())), np.uint8) if "_" not in text else _decimals(text)
    except ValueError:
        values = _decimals(text)
    side = math.isqrt(len(values))
    if side * side != len(values) or side < MIN_CROP:
        colour = math.isqrt(len(values) // 3)
        hint = (
            f" ({colour} × {colour} in colour is not read)"
            if colour >= MIN_CROP and 3 * colour**2 == len(values)
            else ""
        )
        raise UnreadableImage(f"{len(values)} pixels are not a square of at least {MIN_CROP} × {MIN_CROP}{hint}")
    gray = values.reshape(side, side, 1)
    return np.repeat(gray, 3, axis=2)


def _decimals(text: str) -> np.ndarray:
    fields = text.translate(_PUNCTUATION_TO_BLANKS).split()
    if "..." in fields or "…" in fields:
        raise UnreadableImage("the pixels are shortened with '...', as NumPy prints long arrays")
    try:
        if any("_" in field or len(field) > 30 for field in fields):
            raise ValueError
        values = np.array(list(map(float, fields)), np.float64)
    except ValueError:
        raise UnreadableImage("the pixels are not all numbers from 0 to 255") from None
    # NaN fails this comparison too.
    if not ((values >= 0) & (values <= 255)).all():
        raise UnreadableImage("the pixels are not all numbers from 0 to 255")
    if len(values) and (values <= 1).all() and (values != np.floor(values)).any():
        values *= 255
    return np.floor(values + 0.5).astype(np.uint8)


def _tables(tree: RawTree, prefix: str) -> dict[str, Columns]:
    candidates = [path for path in tree.files if suffix(path) in table_columns.SUFFIXES and parent(path) == prefix]
    found = {path: table_columns.read(tree.root / path) for path in candidates}
    return {path: columns for path, columns in found.items() if columns is not None}


@dataclass(frozen=True)
class _Table:
    """A table whose labels have been checked.

    Attributes:
        labels: text in the label column -> label; invalid texts are not included.
        in_words: whether most labels are words rather than numbers.
    """

    file: Path
    columns: Columns
    labels: dict[str, str]
    in_words: bool

    @staticmethod
    def read(file: Path, columns: Columns) -> _Table:
        counts: Counter[str] = Counter()
        for _, row in _rows(file, columns):
            if len(row) > max(columns.label, columns.last):
                counts[row[columns.label].strip()] += 1
        in_words = sum(n for text, n in counts.items() if _is_word(text)) > sum(
            n for text, n in counts.items() if _number(text) is not None
        )
        table = _Table(file, columns, {}, in_words)
        for text, count in counts.items():
            label = table._label(text)
            if label is not None:
                table.labels[text] = label
            elif are_many(count, counts.total()):
                raise DataError(f"{file}: {count:,} rows: {table.problem(text)}", table._remedy(text))
        return table

    def _label(self, text: str) -> str | None:
        number = _number(text)
        if self.in_words:
            if not _is_word(text) or "\ufffd" in text:
                return None
            return clean_label(text, str(self.file))
        if number is None:
            return None
        if self.columns.is_fer:
            return EMOTIONS[number] if number < len(EMOTIONS) else None
        return str(number)

    def problem(self, text: str) -> str:
        if "\ufffd" in text:
            return f"the label {text[:40]!r} is not UTF-8 text"
        if not text:
            return "the label is empty"
        if self.in_words:
            return f"emotion must be a word as in most rows, got {text[:40]!r}"
        if self.columns.is_fer:
            return f"emotion must be a number from 0 to {len(EMOTIONS) - 1}, got {text[:40]!r}"
        return f"the label must be a whole number as in most rows, got {text[:40]!r}"

    def _remedy(self, text: str) -> str:
        if "\ufffd" in text:
            return "save the table as UTF-8"
        return "write the classes in words in every row, or remove these rows"

    def note(self, path: str) -> str | None:
        """Returns a note on how numeric labels were interpreted, if that is not certain."""
        if self.in_words or not self.labels:
            return None
        if not self.columns.names:
            meaning = ", ".join(f"{number} = {emotion}" for number, emotion in enumerate(EMOTIONS))
            return (
                f"{path} has no header: the numbers in its column {self.columns.label + 1} are read as FER2013's "
                f"({meaning}). If they mean something else, give it a header such as label,pixels."
            )
        if self.columns.is_fer:
            return None
        column = self.columns.names[self.columns.label]
        return (
            f"{path}: the numbers in the column {column} are the class names, since only FER2013's column emotion says "
            "what they mean; --aliases 0=angry,… renames them."
        )


def _is_word(text: str) -> bool:
    """Whether a label contains a letter and is not a placeholder for a missing value."""
    return any(map(str.isalpha, text)) and text.lower() not in ("nan", "null", "na", "n/a")


def _number(text: str) -> int | None:
    """Parses a whole number, also written as 3.0; None if it is not one."""
    match = _NUMBER.match(text)
    return int(match[1]) if match else None


def _items(tree: RawTree, prefix: str, tables: dict[str, _Table]) -> Iterator[Item]:
    for path in tree.below(prefix):
        if path in tables:
            yield from _samples(tables[path], path)
        elif path in tree.images:
            yield Ignored(path, "an image beside a table of faces, which is read instead")
        else:
            yield Ignored(path, "not a table with the columns emotion and pixels")


def _samples(table: _Table, path: str) -> Iterator[Sample | Rejected]:
    columns = table.columns
    line = 0
    for line, row in _rows(table.file, columns):
        if len(row) <= max(columns.label, columns.last):
            expected = f"the header has {len(columns.names)}" if columns.names else "the first row has more"
            yield Rejected(f"{path}:{line}", f"{len(row)} columns; {expected}")
            continue
        text = row[columns.label].strip()
        if text not in table.labels:
            yield Rejected(f"{path}:{line}", table.problem(text))
            continue
        yield Sample(path, table.labels[text], line, pixels=columns.pixels(row))
    if not line:
        yield Rejected(path, "a table without a row")


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Raises the csv module's limit on the length of a field, which is global to the process."""
    before = csv.field_size_limit(_MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(file: Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yields (number of its last line, fields) for every row after the header that is not blank."""
    with _long_fields(), file.open(encoding=columns.encoding, errors="replace", newline="") as text:
        rows = csv.reader(text, delimiter=columns.delimiter)
        header = bool(columns.names)
        while True:
            before = rows.line_num
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # Report where the row begins: an unclosed quotation mark may be thousands of lines above.
                raise DataError(f"{file}:{before + 1}: {error}", "repair or delete that line") from None
            if not row or (len(row) == 1 and row[0].lower().startswith("sep=")):
                continue
            if rows.line_num > before + 1 and any(map(columns.holds_rows, row)):
                raise DataError(
                    f"{file}:{before + 1}: a quotation mark that nothing closes: the {rows.line_num - before - 1:,} "
                    "lines after it are part of that row",
                    "remove it, or close it",
                )
            if header:
                header = False
                continue
            yield rows.line_num, row
