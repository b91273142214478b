"""Packs one split into `<split>.images.npy` and `<split>.labels.npy`, written as a stream, opened with mmap.

Only `arrays` (train and val) and `sealed` (test) read splits through this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core import files
from tuning.core.errors import DataError
from tuning.dataset.store.description import DESCRIPTION, PREPARE_REMEDY
from tuning.dataset.store.rows import RowFile

#: Rows copied at a time while packing.
_CHUNK = 1024


@dataclass(frozen=True)
class ImageSplit:
    """The images of one split.

    Attributes:
        images: uint8 (n, height, width, channels), a read-only memory map shared between processes by the page cache.
        labels: int64 (n,), indices into the data set's classes.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def images_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.images.npy"


def labels_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.labels.npy"


def write_split(
    folder: Path, split: str, pixels: np.ndarray | RowFile, rows: np.ndarray, labels: np.ndarray
) -> dict[str, str]:
    """Writes `pixels[rows]` and `labels` as the arrays of `split`; returns file name -> sha256.

    It uses ordinary file writes, not a writable memory map: a full disk is then an error, not a SIGBUS.

    Args:
        pixels: uint8 (pool size, height, width, channels).
        rows: int64 (n,), which rows of `pixels` belong to the split, in order.
        labels: int64 (n,).
    """
    images, targets = images_path(folder, split), labels_path(folder, split)
    chunks = (np.ascontiguousarray(pixels[rows[i : i + _CHUNK]]).data for i in range(0, len(rows), _CHUNK))
    return {
        images.name: _write_npy(images, (len(rows), *pixels.shape[1:]), np.dtype(np.uint8), chunks),
        targets.name: _write_npy(targets, (len(rows),), np.dtype(np.int64), [labels.astype(np.int64).data]),
    }


def _write_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[memoryview]) -> str:
    files.announce("write", path)
    with files.naming(path), path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return files.sha256_file(path)


def read_split(folder: Path, split: str, shape: tuple[int, int, int, int], classes: int) -> ImageSplit:
    """Opens one split with mmap and checks that it agrees with `arrays.json`.

    Args:
        shape: the expected (n, height, width, channels).
        classes: labels must lie in [0, classes).

    Raises:
        DataError: a file is missing, damaged or of another shape; names the file and the command to run.
    """
    images = _read_npy(images_path(folder, split), shape, np.uint8)
    labels = np.array(_read_npy(labels_path(folder, split), shape[:1], np.int64))
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(
            f"{labels_path(folder, split)}: a label lies outside 0…{classes - 1}",
            "run `python -m tuning.prepare` again",
        )
    labels.setflags(write=False)
    return ImageSplit(images, labels)


def _read_npy(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", PREPARE_REMEDY) from None
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path} is damaged: {error}", "run `python -m tuning.prepare` again") from None
    if array.shape != shape or array.dtype != dtype:
        raise DataError(
            f"{path} holds {array.dtype} {array.shape}; {DESCRIPTION} says {np.dtype(dtype)} {shape}",
            "run `python -m tuning.prepare` again",
        )
    return array
