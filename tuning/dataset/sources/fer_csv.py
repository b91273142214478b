"""FER2013 CSV: one row a 48×48 face, `emotion,pixels,Usage` in any order; all usages become one pool."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuning.core.errors import DataError
from tuning.dataset.decode import MIN_CROP, UnreadableImage
from tuning.dataset.sources.inventory import RawTree, parent, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample

#: The data set's own numbering.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_HEADER_BYTES = 4096


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether a CSV file directly in `prefix` has the columns `emotion` and `pixels`."""
    return bool(_tables(tree, prefix))


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Every row becomes a sample, read lazily; `crop` has no meaning here."""
    tables = _tables(tree, prefix)
    return Listing(
        classes={label: tables[0] for label in EMOTIONS}, items=_items(tree, prefix, tables), empty_is_error=False
    )


def parse_pixels(text: str) -> np.ndarray:
    """A row's pixel values as uint8 RGB (side, side, 3).

    Raises:
        UnreadableImage: not a square number of whole numbers from 0 to 255.
    """
    try:
        values = bytes(map(int, text.split()))
    except ValueError:
        raise UnreadableImage("the pixels are not all whole numbers from 0 to 255") from None
    side = math.isqrt(len(values))
    if side * side != len(values) or side < MIN_CROP:
        raise UnreadableImage(f"{len(values)} pixels are not a square of at least {MIN_CROP} × {MIN_CROP}")
    gray = np.frombuffer(values, np.uint8).reshape(side, side, 1)
    return np.repeat(gray, 3, axis=2)


def _tables(tree: RawTree, prefix: str) -> list[str]:
    candidates = [path for path in tree.files if suffix(path) == ".csv" and parent(path) == prefix]
    return [path for path in candidates if {"emotion", "pixels"} <= set(_columns(tree.root / path))]


def _columns(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(_HEADER_BYTES)
    return [name.strip().strip('"').strip().lower() for name in line.decode("utf-8-sig", "replace").split(",")]


def _items(tree: RawTree, prefix: str, tables: list[str]) -> Iterator[Item]:
    for path in tree.below(prefix):
        if path in tables:
            yield from _rows(tree.root / path, path)
        else:
            yield Ignored(path, "not a table with the columns emotion and pixels")


def _rows(file: Path, path: str) -> Iterator[Sample | Rejected]:
    columns = _columns(file)
    emotion_at, pixels_at = columns.index("emotion"), columns.index("pixels")
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{file}:{rows.line_num}: {error}", "repair or delete that line") from None
            where = f"{path}:{rows.line_num}"
            if not row:
                continue
            if len(row) <= max(emotion_at, pixels_at):
                yield Rejected(where, f"{len(row)} columns; the header has {len(columns)}")
                continue
            emotion = row[emotion_at].strip()
            number = emotion.lstrip("0") or "0"
            if not (emotion.isascii() and emotion.isdigit() and len(number) == 1 and int(number) < len(EMOTIONS)):
                yield Rejected(where, f"emotion must be a number from 0 to {len(EMOTIONS) - 1}, got {emotion[:40]!r}")
                continue
            yield Sample(path, EMOTIONS[int(number)], rows.line_num, pixels=row[pixels_at])
