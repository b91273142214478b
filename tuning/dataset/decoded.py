"""What the last run decoded, kept beside the pool, so that the next one decodes only what has changed.

`data/decoded/` holds the model-size pixels and thumbnails of every image, and from which file of what size and time
they were made, each row with its checksum. It is a convenience: whatever is missing, damaged or doubtful is decoded
again, and the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core import files
from tuning.dataset.sources.samples import PooledImage, Sample, Stamp
from tuning.dataset.splitting import near_duplicates as near
from tuning.dataset.splitting import signature
from tuning.dataset.store.description import COLORS, DECODER_VERSION
from tuning.dataset.store.rows import RowFile

SCHEMA = 1
INDEX = "index"
#: A file written less than this before it was read may have changed again within one tick of its file system's clock,
#: unnoticed; it is not remembered.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One image as it was decoded.

    Attributes:
        file: in the pool; it still has the size and time that it was written with.
        sha256, width, height: as in `PooledImage`.
        pixels: uint8 (image_size, image_size, channels).
        thumb: uint8 (48, 48).
        signature: one of `signature.DTYPE`.
    """

    file: str
    sha256: str
    width: int
    height: int
    pixels: np.ndarray
    thumb: np.ndarray
    signature: np.void


class Decoded:
    """The rows of the last run, as far as they are of use. `find` may be called from several threads.

    Args:
        folder: where they are; nothing is there before the first run.
        image_size, color: what is needed now.
        pool: the pool that was made with them.
    """

    def __init__(self, folder: Path, image_size: int, color: str, pool: Path) -> None:
        self._pool = str(pool)
        self._found: dict[str, tuple[int, str]] = {}
        self._open = contextlib.ExitStack()
        try:
            with (folder / INDEX).open(encoding="utf-8") as lines:
                if next(lines, "").rstrip("\n") != _head(image_size, color):
                    return
                for row, line in enumerate(lines):
                    name, _, entry = line.partition("\t")
                    self._found[name] = (row, entry)
            shape = (image_size, image_size, COLORS[color])
            self._pixels = self._open.enter_context(RowFile(folder / "pixels", shape))
            path = thumbs_path(folder, image_size, color)
            self._thumbs = self._open.enter_context(RowFile(path, (near.THUMB, near.THUMB)))
            self._signatures = np.fromfile(folder / "signatures", signature.DTYPE)
        except (OSError, ValueError):
            self._found = {}

    def __len__(self) -> int:
        return len(self._found)

    def find(self, sample: Sample, stamp: Stamp) -> Row | None:
        """What `sample` was decoded to; None unless its stamp is the same and all that was kept of it is whole."""
        row, entry = self._found.get(_key(sample), (0, ""))
        try:
            stamped, file, state, sha256, width, height, checksum = json.loads(entry)
            if stamped != _plain(stamp) or state_of(f"{self._pool}/{file}") != state:
                return None
            pixels, thumb, signed = self._pixels.read(row), self._thumbs.read(row), self._signatures[row]
            if _checksum(pixels, thumb, signed) != checksum:
                return None
            return Row(file, sha256, width, height, pixels, thumb, signed)
        except (OSError, IndexError, TypeError, ValueError):
            return None

    def close(self) -> None:
        self._open.close()


class Keeper:
    """Writes what a run decodes, row by row in the order of its images; a context.

    Args:
        folder: an empty folder. The run reads its pixels and thumbnails there, whether they are kept or not.
    """

    def __init__(self, folder: Path, image_size: int, color: str) -> None:
        self._began = time.time_ns()
        self._open = contextlib.ExitStack()
        names = {"pixels": folder / "pixels", "signatures": folder / "signatures", INDEX: folder / INDEX}
        if thumbs_path(folder, image_size, color) != names["pixels"]:
            names["thumbs"] = folder / "thumbs"
        self._streams = {name: self._open.enter_context(path.open("wb")) for name, path in names.items()}
        self._write(INDEX, f"{_head(image_size, color)}\n".encode())

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(
        self,
        sample: Sample,
        stamp: Stamp,
        state: list[int],
        image: PooledImage,
        pixels: np.ndarray,
        thumb: np.ndarray,
        signed: np.void,
    ) -> None:
        """One more image; `state` is the size and time of its file in the pool."""
        settled = isinstance(stamp, str) or stamp[1] < self._began - _SETTLED_NS
        row = [
            _plain(stamp) if settled else None,
            image.file,
            state,
            image.sha256,
            image.width,
            image.height,
            _checksum(pixels, thumb, signed),
        ]
        self._write("pixels", pixels.data)
        if "thumbs" in self._streams:
            self._write("thumbs", thumb.data)
        self._write("signatures", signed.tobytes())
        self._write(INDEX, f"{_key(sample)}\t{json.dumps(row)}\n".encode())

    def _write(self, name: str, data: bytes | memoryview) -> None:
        try:
            self._streams[name].write(data)
        except OSError as error:
            # A full disk reports no file name on write(); the person needs one.
            raise OSError(error.errno, error.strerror, self._streams[name].name) from error


def thumbs_path(folder: Path, image_size: int, color: str) -> Path:
    """The file of thumbnails: where the images are prepared in their size and colour, that of the pixels."""
    return folder / ("pixels" if (image_size, color) == (near.THUMB, "gray") else "thumbs")


def state_of(path: str | Path) -> list[int]:
    """Size and time of a file."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def _head(image_size: int, color: str) -> str:
    head = {"schema": SCHEMA, "decoder": DECODER_VERSION, "image_size": image_size, "color": color}
    return files.canonical_json(head)


def _key(sample: Sample) -> str:
    """What a sample is known by, as JSON: its name, and the part of its file that it is."""
    return json.dumps(sample.name if sample.box is None else f"{sample.name} {' '.join(map(repr, sample.box))}")


def _plain(stamp: Stamp) -> Any:
    return stamp if isinstance(stamp, str) else list(stamp)


def _checksum(pixels: np.ndarray, thumb: np.ndarray, signed: np.void) -> int:
    return zlib.crc32(signed.tobytes(), zlib.crc32(thumb, zlib.crc32(pixels)))
