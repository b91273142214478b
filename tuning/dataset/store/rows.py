"""Stores rows of one size in a plain file and reads them on demand, so that memory does not grow with their number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np

from tuning.core import files


class RowWriter:
    """Writes the rows of a `RowFile` one after the other; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")

    def add(self, row: np.ndarray) -> None:
        """Appends a row. Raises OSError with the path if the disk is full."""
        with files.naming(self._path):
            self._file.write(np.ascontiguousarray(row).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with files.naming(self._path):
            self._file.close()


class RowFile:
    """uint8 rows of one shape; `row_file[indices]` reads only those rows.

    It is not a memory map, because the pages of a map count as this process's memory once they are touched.

    Args:
        path: a file of rows, one after the other.
        shape: of one row.

    Attributes:
        shape: (number of rows, *shape of one row).
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = int(np.prod(shape))
        self.shape = (os.fstat(self._file.fileno()).st_size // self._size, *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Returns uint8 (len(rows), *shape of one row). Raises OSError if a row does not exist."""
        result = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for at, row in enumerate(rows):
            self._file.seek(int(row) * self._size)
            if self._file.readinto(result[at]) != self._size:
                raise OSError(f"{self._file.name}: row {row} is not there")
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
