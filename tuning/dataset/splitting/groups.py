"""Identifies the persons on images: `--group-by` takes them from file names, or from a table."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from tuning.core import files
from tuning.core.errors import DataError, UsageError
from tuning.dataset.sources import texts
from tuning.dataset.sources.layout import label_of
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.sources.table_columns import DELIMITERS

_FILE_COLUMNS = ("file", "path", "image", "filename", "source")
_GROUP_COLUMNS = ("group", "subject", "person", "identity", "id")
_REMEDY = (
    r"give a regular expression that finds the person in a path, such as '(S\d+)_', or a CSV file with the columns "
    "file,group"
)
#: Only the last characters of a longer path are searched: a careless expression could take very long on all of it.
_MAX_PATH = 512
_MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class GroupBy:
    """A way to find out which person an image shows.

    Attributes:
        text: the expression, or the table's file name; part of the split's settings.
        subject: returns the person for an image's path, or None.
        digest: of the table; None for an expression.
    """

    text: str
    subject: Callable[[str], str | None]
    digest: str | None = None

    def assign(self, images: Sequence[PooledImage]) -> tuple[PooledImage, ...]:
        """Returns the images with their subjects.

        Raises:
            DataError: no image has a subject.
        """
        # File systems encode accents as NFC or NFD; normalise so that names that look the same are the same person.
        found = tuple(replace(image, subject=self.subject(normalize("NFC", image.path))) for image in images)
        if images and not any(image.subject for image in found):
            raise DataError(
                f"--group-by {self.text} fits none of {len(images):,} images, such as {images[0].source}", _REMEDY
            )
        return found


def divided(images: Iterable[PooledImage]) -> str | None:
    """Returns a note if persons include the folders of classes, so that one in two classes counts as two; else None."""
    found: dict[str, set[str]] = {}
    for image in images:
        folders, _, person = (image.subject or "").rpartition("/")
        if person and image.label in map(label_of, folders.split("/")):
            found.setdefault(person, set()).add(f"{folders}/{person}")
    several = next((sorted(names) for names in found.values() if len(names) > 1), None)
    if several is None:
        return None
    return (
        f"--group-by takes folders of classes for a part of the persons: {several[0]} and {several[1]} count as two. "
        "If they are one, prepare another --root with an expression that matches no /, such as '([^/_]+)_'."
    )


def parse(text: str) -> GroupBy:
    """Parses `--group-by`: the name of an existing CSV file, or a regular expression.

    The expression is searched for in an image's path; the person is the group named `group`, else the first group,
    else the whole match.

    Raises:
        UsageError: neither a file nor a valid expression.
        DataError: the file is invalid; names the line.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if is_file:
        rows = read_table(path)
        return GroupBy(path.name, lambda source: _look_up(rows, source), files.digest(rows))
    if path.suffix.lower() == ".csv" and "(" not in text:
        raise UsageError(f"--group-by {text} does not exist", _REMEDY)
    try:
        with warnings.catch_warnings():
            # Users cannot act on warnings that a future Python may read the expression differently.
            warnings.simplefilter("ignore", FutureWarning)
            pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"--group-by {text!r} is no valid regular expression: {error}", _REMEDY) from None
    return GroupBy(text, lambda source: _search(pattern, source))


def _search(pattern: re.Pattern[str], source: str) -> str | None:
    match = pattern.search(source[-_MAX_PATH:])
    if match is None:
        return None
    if "group" in pattern.groupindex:
        return match["group"] or None
    return (match[1] if pattern.groups else match[0]) or None


def _look_up(rows: Mapping[str, str], source: str) -> str | None:
    """Looks up a path in the table, then ever shorter ends of it, down to the bare file name."""
    parts = PurePosixPath(source).parts
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((rows[tail] for tail in tails if tail in rows), None)


def read_table(path: Path) -> dict[str, str]:
    """Reads file -> group from a CSV file with a header, delimited as spreadsheets do it.

    Raises:
        DataError: the file is neither in UTF-8 nor UTF-16, a column is missing, a row is too short or has an empty
            field, or one file is in two groups; names the line.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes; that is no table of groups", _REMEDY)
    found: dict[str, str] = {}
    try:
        text = texts.decode(path.read_bytes())
    except UnicodeDecodeError:
        # Replaced letters would make one person of two.
        raise DataError(f"{path} is not in UTF-8", "save it as CSV in UTF-8") from None
    with io.StringIO(text, newline="") as file:
        first = file.readline()
        before = int(first.lower().startswith("sep="))  # a line in which a spreadsheet declares its delimiter
        if not before:
            file.seek(0)
        rows = csv.reader(file, delimiter=max(DELIMITERS, key=first.count))
        try:
            header = [name.strip().lower() for name in next(rows, [])]
            file_at, group_at = _column(header, _FILE_COLUMNS, path), _column(header, _GROUP_COLUMNS, path)
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                where = f"{path}:{before + rows.line_num}"
                if len(row) <= max(file_at, group_at):
                    raise DataError(f"{where}: {len(row)} columns; the header has {len(header)}", "repair that line")
                name, group = (normalize("NFC", row[at].strip()) for at in (file_at, group_at))
                name = name.replace("\\", "/")
                if not name or not group:
                    raise DataError(f"{where}: the file or the group is empty", "repair or delete that line")
                if found.setdefault(name, group) != group:
                    raise DataError(
                        f"{where}: {name[:80]} is in group {found[name][:40]!r} and in group {group[:40]!r}",
                        "keep one of the two lines",
                    )
        except csv.Error as error:
            raise DataError(f"{path}:{before + rows.line_num}: {error}", "repair or delete that line") from None
    if not found:
        raise DataError(f"{path} lists no file", _REMEDY)
    return found


def _column(header: Sequence[str], names: Iterable[str], path: Path) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise DataError(f"{path}:1: no column {' or '.join(names)} among {', '.join(header)[:80] or 'none'}", _REMEDY)
