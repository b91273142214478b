"""The pool: every usable face decoded once, on all cores, and laid down as `<class>/<file>`.

Threads, not processes: OpenCV, hashing and file access all release the interpreter's lock, and no pixel is copied
between processes. Work in flight is bounded, so memory does not grow with the number of images. What the last run
decoded and has not changed since is taken over: see `decoded`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from tuning.core.errors import DataError
from tuning.core.progress import Bar
from tuning.dataset import decode, decoded
from tuning.dataset.decoded import Row
from tuning.dataset.sources import fer_csv
from tuning.dataset.sources.inventory import split_name
from tuning.dataset.sources.samples import Ignored, PooledImage, Rejected, Sample, Stamp
from tuning.dataset.splitting import near_duplicates as near
from tuning.dataset.splitting import signature

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 64
#: Files of fewer bytes each are worked on by one thread at a time.
_LIGHT_BYTES = 4096
_STEM = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Pool:
    """What decoding left.

    Attributes:
        images: every usable image in the order of the source; image i's model-size pixels are row i of what was kept.
        rejected: what should have been an image and is none, with reasons.
        ignored: reason -> how many files were no samples for that reason.
        signatures: of `images`, (n,) of `signature.DTYPE`.
        decoded: how many files had to be decoded; the others were known from the last run.
    """

    images: tuple[PooledImage, ...]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    signatures: np.ndarray
    decoded: int


Item = Sample | Rejected | Ignored


@dataclass(frozen=True, slots=True)
class Face:
    """One sample, everything that is kept of it; `known` is its signature where the last run decoded it."""

    sample: Sample
    stamp: Stamp
    state: list[int]
    image: PooledImage
    pixels: np.ndarray
    thumb: np.ndarray
    known: np.void | None = None


@dataclass(frozen=True)
class Target:
    """What a pool is made from and how.

    Attributes:
        locate: a sample's source -> the path of the file; nothing there is changed.
        stamp: a sample's source -> what tells that the file is the same; see `Stamp`.
        folder: an empty folder for the pool.
        image_size, color: of the pixels that are kept.
        known: a sample and its stamp -> its row of the last run, if it is unchanged.
        old: the pool of the last run.
    """

    locate: Callable[[str], Path | str]
    stamp: Callable[[str], Stamp]
    folder: Path
    image_size: int
    color: str
    known: Callable[[Sample, Stamp], Row | None] = lambda sample, stamp: None
    old: Path = Path()


def fill(items: Iterable[Item], target: Target, keep: Callable[..., object], on_bad: str, bar: Bar) -> Pool:
    """Decodes every sample that is not known, and lays its file into the pool.

    Args:
        items: what the source lists.
        keep: called with (sample, stamp, state of its pool file, image, pixels, thumbnail, signature) of every usable
            image, in order.
        on_bad: "skip" lists unusable items, "stop" raises at the first one (in listing order).

    Raises:
        DataError: an unusable item, with `on_bad="stop"`.
    """
    images: list[PooledImage] = []
    signed: list[np.ndarray] = []
    rejected: list[Rejected] = []
    ignored: Counter[str] = Counter()
    fresh = 0

    one_at_a_time = threading.Lock()

    def work(chunk: list[Item]) -> tuple[list[Face | Rejected | Ignored], np.ndarray]:
        with one_at_a_time if _is_light(chunk, target) else contextlib.nullcontext():
            found = list(_process(chunk, target))
            return found, _signatures([face for face in found if isinstance(face, Face)])

    threads = _cores()
    with _single_threaded_opencv(), ThreadPoolExecutor(threads, "decode") as executor:
        for chunk, signatures in _bounded_map(executor, work, _batched(items, _CHUNK), 3 * threads):
            rows = iter(signatures)
            for done in chunk:
                if isinstance(done, Rejected):
                    if on_bad == "stop":
                        raise DataError(
                            f"{target.locate(done.source)}: {done.reason}",
                            "repair or remove it, or run with --on-bad skip to go on without it",
                        )
                    rejected.append(done)
                elif isinstance(done, Ignored):
                    ignored[done.reason] += 1
                else:
                    images.append(done.image)
                    fresh += done.known is None
                    keep(done.sample, done.stamp, done.state, done.image, done.pixels, done.thumb, next(rows))
            signed.append(signatures)
            bar.update(len(chunk))
    signatures = np.concatenate([np.empty(0, signature.DTYPE), *signed])
    return Pool(tuple(images), tuple(rejected), dict(sorted(ignored.items())), signatures, fresh)


def file_name(sample: Sample) -> str:
    """Where a sample lies below the pool: the same for the same source whatever else is there, and never shared."""
    stem, suffix = split_name(sample.source)
    stem = _STEM.sub("_", stem)[:60]
    if sample.line is not None:
        stem = f"{stem}_{sample.line}"
    key = hashlib.sha256(sample.name.encode()).hexdigest()[:12]
    whole = sample.box is None and sample.pixels is None
    return f"{sample.label}/{stem}-{key}{suffix.lower() if whole else '.png'}"


def link_or_copy(source: Path | str, target: Path | str) -> None:
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


def _is_light(chunk: Iterable[Item], target: Target) -> bool:
    """Whether Python has more to do with these than OpenCV; threads would only hand its lock to and fro then."""
    samples = [item for item in chunk if isinstance(item, Sample)]
    # The row of a table, with pixels, is no file.
    sizes = (target.stamp(sample.source)[0] for sample in samples if sample.pixels is None)
    return sum(sizes) < _LIGHT_BYTES * len(samples)


def _process(chunk: Iterable[Item], target: Target) -> Iterator[Face | Rejected | Ignored]:
    opened: tuple[str, bytes, np.ndarray] | None = None
    for item in chunk:
        if not isinstance(item, Sample):
            yield item
            continue
        stamp = _stamp(item, target)
        if known := _known(item, stamp, target):
            yield known
            continue
        try:
            if item.pixels is not None:
                data, face = None, fer_csv.parse_pixels(item.pixels)
            else:
                if opened is None or opened[0] != item.source:
                    opened = None
                    content = decode.read_file(target.locate(item.source))
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
        state = _write(target.folder, file, decode.encode_png(face) if data is None else data)
        pixels, thumb = _reduced(face, target)
        image = _image(item, file, decode.pixel_sha256(face), face.shape[1], face.shape[0])
        yield Face(item, stamp, state, image, pixels, thumb)


def _signatures(faces: Sequence[Face]) -> np.ndarray:
    result = np.empty(len(faces), signature.DTYPE)
    fresh = [at for at, face in enumerate(faces) if face.known is None]
    thumbs = np.array([faces[at].thumb for at in fresh], np.uint8)
    result[fresh] = signature.signatures(thumbs.reshape(-1, near.THUMB, near.THUMB))
    for at, face in enumerate(faces):
        if face.known is not None:
            result[at] = face.known
    return result


def _image(sample: Sample, file: str, sha256: str, width: int, height: int) -> PooledImage:
    photo = sample.source if sample.line is not None and sample.pixels is None else None
    return PooledImage(file, sample.name, sha256, width, height, sample.label, photo=photo)


def _stamp(sample: Sample, target: Target) -> Stamp:
    """A row of a table is known by its text: that other rows come and go does not change it."""
    if sample.pixels is not None:
        return hashlib.sha256(sample.pixels.encode()).hexdigest()
    return target.stamp(sample.source)


def _known(sample: Sample, stamp: Stamp, target: Target) -> Face | None:
    row = target.known(sample, stamp)
    if row is None:
        return None
    file = file_name(sample)
    old, new = f"{target.old}/{row.file}", f"{target.folder}/{file}"
    try:
        _in_folder(new, lambda: os.link(old, new))
    except OSError:
        # Another file system, or rules against links: made again from the raw file, as for the first time.
        return None
    image = _image(sample, file, row.sha256, row.width, row.height)
    return Face(sample, stamp, decoded.state_of(new), image, row.pixels, row.thumb, row.signature)


def _reduced(face: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """(what the model sees, thumbnail); the same array where both are the same."""
    pixels = decode.to_model(face, target.image_size, target.color)
    same = (target.image_size, target.color) == (near.THUMB, "gray")
    return pixels, pixels.reshape(near.THUMB, near.THUMB) if same else near.thumbnail(face)


def _write(folder: Path, file: str, data: bytes) -> list[int]:
    """Writes one pool file; returns its size and time.

    A copy, never a link: whatever happens to the pool, the raw folder stays as it was.
    """
    path = f"{folder}/{file}"
    try:
        with _in_folder(path, lambda: open(path, "wb")) as stream:
            stream.write(data)
            stream.flush()
            found = os.fstat(stream.fileno())
    except OSError as error:
        # A full disk reports no file name on write(); the person needs one.
        raise OSError(error.errno, error.strerror, path) from error
    return [found.st_size, found.st_mtime_ns]


def _in_folder(path: str, make: Callable[[], T]) -> T:
    """What `make` returns, which puts a file at `path`; its folder is made where there is none yet."""
    try:
        return make()
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return make()
