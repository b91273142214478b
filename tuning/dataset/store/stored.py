"""Reads the JSON files of a prepared data set into records; decoding validates them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tuning.core.errors import DataError

T = TypeVar("T")


class _Head(msgspec.Struct, frozen=True):
    schema: object = None


def read_record(path: Path, kind: type[T], schema: int, remedy: str) -> T:
    """Reads the record in `path`, which must have this schema version.

    Raises:
        DataError: the file is missing, of another schema version, or not such a record; carries `remedy`.
    """
    content = read_content(path, remedy)
    found = decode(path, content, _Head, remedy).schema
    if found != schema:
        raise DataError(f"{path} has schema {found!r}; this version reads {schema}", remedy)
    return decode(path, content, kind, remedy)


def read_content(path: Path, remedy: str) -> bytes:
    """Returns the bytes of a file. Raises DataError if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy) from None


def decode(path: Path, content: bytes, kind: type[T], remedy: str) -> T:
    """Decodes `content`, which was read from `path`. Raises DataError if it is invalid."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{path} is not valid: {error}", remedy) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", remedy) from None
