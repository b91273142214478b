"""Finds the columns of a table that hold the label and the pixels, for various delimiters and column names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import DataError
from tuning.dataset.sources import texts
from tuning.dataset.sources.layout import SPLIT_FOLDERS

SUFFIXES = (".csv", ".tsv")
DELIMITERS = (",", ";", "\t", "|")
#: In order of precedence.
_LABELS = ("emotion", "emotions", "label", "labels", "class", "expression", "target", "category", "sentiment", "y")
_PIXELS = ("pixels", "pixel", "image", "images", "image_pixels", "img", "data")
#: Name of a column that holds one pixel: pixel0, px_12, 0, ….
_ONE_PIXEL = re.compile(r"(pixel|pix|px|p|x)?[ _.-]?(\d+)$|(\d+)x(\d+)$", re.ASCII)
_MIN_PIXELS = 64
#: The name of an image file, or a URL.
_FILE = re.compile(r"\.(jpe?g|png|bmp|gif|webp|tiff?|ppm|pgm)$|^https?://", re.IGNORECASE)
#: The beginning of several numbers, possibly with a bracket.
_NUMBERS = re.compile(r"[\[(]|\d\S*\s+\d")
_HEAD_BYTES = 1 << 16
#: Maximum bytes of a line: enough for a header with a column for each pixel of a large image.
_LINE_BYTES = 1 << 22
#: Values of a usage column, in FER2013 and other tables.
_USAGES = SPLIT_FOLDERS | {"publictest", "privatetest"}
_SHOWN = 8


@dataclass(frozen=True)
class Columns:
    """The positions of the label and the pixels in a row.

    Attributes:
        delimiter, encoding: of the file.
        names: of the columns, as found; empty if the file has no header.
        label: the label's column.
        first, last: the first and last column of pixels; if they are equal, one column holds all pixels.
    """

    delimiter: str
    encoding: str
    names: tuple[str, ...]
    label: int
    first: int
    last: int

    @property
    def is_fer(self) -> bool:
        """Whether numeric labels are FER2013's: the column has the same name, or there is no header."""
        return not self.names or _plain(self.names[self.label]) in ("emotion", "emotions")

    def holds_rows(self, field: str) -> bool:
        """Whether a field contains whole rows, as after a quotation mark that is not closed."""
        _, _, second = field.partition("\n")
        parts = second.partition("\n")[0].split(self.delimiter)
        return self.first < len(parts) > 1 and len(parts[self.first].split()) >= _MIN_PIXELS

    def pixels(self, row: list[str]) -> str:
        """Returns the pixel values of a row, separated by blanks."""
        return row[self.first] if self.first == self.last else " ".join(row[self.first : self.last + 1])


def read(path: Path) -> Columns | None:
    """Returns the columns of a table of faces; None if it lacks labels or pixels.

    Raises:
        DataError: the file cannot be read.
    """
    (line, row), encoding = _first_lines(path)
    for delimiter in sorted(DELIMITERS, key=lambda one: -line.count(one)):
        names = [_bare(name) for name in line.split(delimiter)]
        found = _by_name(names)
        if found is not None:
            fields = [_bare(field) for field in row.split(delimiter)]
            files = any(map(_FILE.search, fields)) and not _holds_pixels(fields, *found[1:])
            return None if files else Columns(delimiter, encoding, tuple(names), *found)
    return _without_header(line, encoding)


def names_files(path: Path) -> bool:
    """Whether one of the first two lines of a table has an image file among several fields."""
    (line, row), _ = _first_lines(path)
    return any(
        len(fields) > 1 and any(_FILE.search(_bare(field)) for field in fields)
        for delimiter in (*DELIMITERS, " ")
        for fields in (line.split(delimiter), row.split(delimiter))
    )


def names(path: Path) -> list[str]:
    """Returns the names of a table's columns, shortened for a message."""
    (line, _), _ = _first_lines(path)
    delimiter = max(DELIMITERS, key=line.count)
    found = [_bare(name)[:40] for name in line.split(delimiter)]
    return [*found[:_SHOWN], *(["…"] if len(found) > _SHOWN else [])]


def _first_lines(path: Path) -> tuple[tuple[str, str], str]:
    """Returns (the first two lines that are not blank, the encoding)."""
    try:
        with path.open("rb") as file:
            head, count = b"", 0
            # Enough for a line that declares the delimiter, the header and a row, however long.
            while (count < 3 or len(head) < _HEAD_BYTES) and (line := file.readline(_LINE_BYTES)):
                head, count = head + line, count + 1
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give yourself permission to read it") from None
    encoding = texts.encoding(head)
    # In UTF-16, `readline` stops in the middle of a two-byte character; drop the odd byte.
    text = head[: len(head) // 2 * 2 if encoding == "utf-16" else None].decode(encoding, "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    # Spreadsheets may declare their delimiter in the first line.
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]
    first, second = [*lines[:2], "", ""][:2]
    return (first, second), encoding


def _bare(name: str) -> str:
    return name.strip().strip("\"'").strip()


def _plain(name: str) -> str:
    return name.strip().lower()


def _by_name(found: list[str]) -> tuple[int, int, int] | None:
    """Finds (label, first, last) by the names of the columns."""
    plain = [_plain(name) for name in found]
    label = next((plain.index(name) for name in _LABELS if name in plain), None)
    if label is None:
        return None
    pixels = next((plain.index(name) for name in _PIXELS if name in plain), None)
    if pixels is not None:
        return label, pixels, pixels
    single = [at for at, name in enumerate(plain) if _ONE_PIXEL.match(name) and at != label]
    if len(single) >= _MIN_PIXELS and single == list(range(single[0], single[-1] + 1)):
        return label, single[0], single[-1]
    return None


def _holds_pixels(fields: list[str], first: int, last: int) -> bool:
    """Whether a single column of pixels holds numbers."""
    return first == last < len(fields) and _NUMBERS.match(fields[first]) is not None


def _without_header(line: str, encoding: str) -> Columns | None:
    """Returns the columns of a table whose first line is a row, or None.

    One field holds a face's pixels; of the others, the first that is not a usage is the label.
    """
    for delimiter in DELIMITERS:
        fields = [_bare(field) for field in line.split(delimiter)]
        at = next((at for at, field in enumerate(fields) if len(field.split()) >= _MIN_PIXELS), None)
        if (
            at is not None
            and len(fields) > 1
            and all(p.strip("[]").isdigit() for p in fields[at].split()[:_MIN_PIXELS])
        ):
            others = [other for other in range(len(fields)) if other != at]
            label = next((other for other in others if _plain(fields[other]) not in _USAGES), others[0])
            return Columns(delimiter, encoding, (), label, at, at)
    return None
