"""Reads the JSON files of a prepared data set into records: decoding is validation."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tuning.core.errors import DataError

T = TypeVar("T")


class _Head(msgspec.Struct, frozen=True):
    schema: object = None


def read_record(path: Path, kind: type[T], schema: int, remedy: str) -> T:
    """The record in `path`, which must be of this schema.

    Raises:
        DataError: the file is missing, of another schema, or not such a record; carries `remedy`.
    """
    content = read_content(path, remedy)
    found = decode(path, content, _Head, remedy).schema
    if found != schema:
        raise DataError(f"{path} has schema {found!r}; this version reads {schema}", remedy)
    return decode(path, content, kind, remedy)


def read_content(path: Path, remedy: str) -> bytes:
    """The bytes of a file. Raises DataError where it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy) from None


def decode(path: Path, content: bytes, kind: type[T], remedy: str) -> T:
    """The record in `content`, which was read from `path`. Raises DataError where it is none."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{path} is not valid: {error}", remedy) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", remedy) from None
