"""The pool: every usable face decoded once, on all cores, and laid down as `<class>/<file>`.

Threads, not processes: OpenCV, hashing and file access all release the interpreter's lock, and no pixel is copied
between processes. Work in flight is bounded, so memory does not grow with the number of images.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

import cv2
import numpy as np

from tuning.dataset import decode, fer_csv, near
from tuning.dataset.samples import Ignored, Rejected, Sample
from tuning.errors import DataError
from tuning.progress import Bar

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 64
_STEM = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class PooledImage:
    """One usable face.

    Attributes:
        file: where it lies below the pool, "<label>/<name>".
        source: `Sample.name`.
        sha256: of its full-size decoded pixels, see `decode.pixel_sha256`.
        width, height: of the face in pixels, before it is brought to model size.
        label: its class.
        group: images of one group never cross splits; "" until groups are formed.
        photo: the image file that several labelled faces share; None where a source holds no such files.
        subject: the person shown, where `--group-by` tells; None otherwise.
    """

    file: str
    source: str
    sha256: str
    width: int
    height: int
    label: str
    group: str = ""
    photo: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Pool:
    """What decoding left.

    Attributes:
        images: every usable image in the order of the source; image i's model-size pixels are row i of the pixel file,
            its thumbnail row i of the thumbnail file.
        rejected: what should have been an image and is none, with reasons.
        ignored: reason -> how many files were no samples for that reason.
    """

    images: tuple[PooledImage, ...]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]


Item = Sample | Rejected | Ignored
_Done = tuple[PooledImage, np.ndarray, np.ndarray] | Rejected


def fill(
    items: Iterable[Item],
    locate: Callable[[str], Path],
    folder: Path,
    pixels: BinaryIO,
    thumbs: BinaryIO,
    image_size: int,
    color: str,
    on_bad: str,
    bar: Bar,
) -> Pool:
    """Decodes every sample, lays its file into `folder`, and appends its model-size pixels to `pixels`.

    Args:
        items: what the source lists.
        locate: a sample's source -> the file; nothing there is changed.
        folder: an empty folder for the pool.
        pixels: receives image_size × image_size × channels bytes per usable image.
        thumbs: receives a gray thumbnail of 48 × 48 bytes per usable image.
        on_bad: "skip" lists unusable items, "stop" raises at the first one (in listing order).

    Raises:
        DataError: an unusable item, with `on_bad="stop"`.
    """
    images: list[PooledImage] = []
    rejected: list[Rejected] = []
    ignored: Counter[str] = Counter()

    def work(chunk: list[Item]) -> list[_Done | Ignored]:
        return list(_process(chunk, locate, folder, image_size, color))

    threads = _cores()
    with _single_threaded_opencv(), ThreadPoolExecutor(threads, "decode") as executor:
        for chunk in _bounded_map(executor, work, _batched(items, _CHUNK), 3 * threads):
            for done in chunk:
                if isinstance(done, Rejected):
                    if on_bad == "stop":
                        raise DataError(
                            f"{locate(done.source)}: {done.reason}",
                            "repair or remove it, or run with --on-bad skip to go on without it",
                        )
                    rejected.append(done)
                elif isinstance(done, Ignored):
                    ignored[done.reason] += 1
                else:
                    images.append(done[0])
                    pixels.write(done[1].data)
                    thumbs.write(done[2].data)
            bar.update(len(chunk))
    return Pool(tuple(images), tuple(rejected), dict(sorted(ignored.items())))


def file_name(sample: Sample) -> str:
    """Where a sample lies below the pool: the same for the same source whatever else is there, and never shared."""
    source = PurePosixPath(sample.source)
    stem = _STEM.sub("_", source.stem)[:60]
    if sample.line is not None:
        stem = f"{stem}_{sample.line}"
    key = hashlib.sha256(sample.name.encode()).hexdigest()[:12]
    whole = sample.box is None and sample.pixels is None
    return f"{sample.label}/{stem}-{key}{source.suffix.lower() if whole else '.png'}"


def link_or_copy(source: Path, target: Path) -> None:
    """Makes `target` a hard link to `source`, or a copy where the file system or the system's rules forbid links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Our threads fill the cores; OpenCV's own would only compete with them."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _bounded_map(
    executor: ThreadPoolExecutor, function: Callable[[T], R], values: Iterable[T], window: int
) -> Iterator[R]:
    """`map` in order, with at most `window` calls submitted ahead of the reader."""
    waiting: deque[Future[R]] = deque()
    try:
        for value in values:
            waiting.append(executor.submit(function, value))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _process(
    chunk: Iterable[Item], locate: Callable[[str], Path], folder: Path, image_size: int, color: str
) -> Iterator[_Done | Ignored]:
    opened: tuple[str, bytes, np.ndarray] | None = None
    for item in chunk:
        if not isinstance(item, Sample):
            yield item
            continue
        try:
            if item.pixels is not None:
                data, face = None, fer_csv.parse_pixels(item.pixels)
            else:
                if opened is None or opened[0] != item.source:
                    opened = None
                    content = decode.read_file(locate(item.source))
                    opened = (item.source, content, decode.read_image(content))
                data, face = opened[1:]
            if item.box is not None:
                data, face = None, decode.crop(face, item.box)
        except decode.UnreadableImage as error:
            yield Rejected(item.name, error.problem)
            continue
        except OSError as error:
            yield Rejected(item.name, f"cannot be read: {error.strerror}")
            continue
        file = file_name(item)
        _write(folder / file, decode.encode_png(face) if data is None else data)
        height, width = face.shape[:2]
        photo = item.source if item.line is not None and item.pixels is None else None
        image = PooledImage(file, item.name, decode.pixel_sha256(face), width, height, item.label, photo=photo)
        yield image, decode.to_model(face, image_size, color), near.thumbnail(face)


def _write(target: Path, data: bytes) -> None:
    """Writes one pool file. A copy, never a link: whatever happens to the pool, the raw folder stays as it was."""
    target.parent.mkdir(exist_ok=True)
    try:
        target.write_bytes(data)
    except OSError as error:
        # A full disk reports no file name on write(); the person needs one.
        raise OSError(error.errno, error.strerror, str(target)) from error
