"""The pool: every usable face, decoded once, on all cores, and written as `<class>/<file>`.

It uses threads, not processes: OpenCV, hashing and file access all release the GIL, and no pixels need to be copied
between processes. The number of batches in flight is bounded, so memory does not grow with the number of images.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tuning.core import files, machine
from tuning.core.errors import DataError
from tuning.core.progress import Bar
from tuning.core.workspace import Workspace
from tuning.dataset import account, decode
from tuning.dataset.sources import fer_csv
from tuning.dataset.sources.inventory import split_name
from tuning.dataset.sources.samples import Ignored, Item, PooledImage, Rejected, Sample
from tuning.dataset.splitting import near_duplicates as near
from tuning.dataset.splitting import signature
from tuning.dataset.store import file_state

_BATCH = 64
#: Batches in flight for each thread.
_AHEAD = 3
#: With files smaller than this on average, most time is spent in Python, and threads would only wait for the GIL.
_SMALL_FILE_BYTES = 4096
#: What follows the last full stop of a name can be a whole sentence, or the query of a web address.
_MAX_SUFFIX = 20
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
#: Paths that `prepare` itself writes into the pool (see `file_name`) and into the split folder.
_IMAGE = r"[^/]+/[^/]*-[0-9a-f]{12}(\.[^./]+)?"
_OWN_IN_POOL = re.compile(_IMAGE)
_OWN_IN_SPLIT = re.compile(rf"(train|val|test)/{_IMAGE}|(train|val|test)\.(images|labels)\.npy|arrays\.json")


@dataclass(frozen=True)
class Target:
    """Where to read samples and how to write them.

    Attributes:
        locate: returns the path of the file of a sample's source; that file is only read.
        size: returns the size in bytes of the file of a sample's source.
        folder: an empty folder for the pool.
        image_size, color: of the model's input.
    """

    locate: Callable[[str], Path | str]
    size: Callable[[str], int]
    folder: Path
    image_size: int
    color: str


@dataclass(frozen=True)
class Pool:
    """The result of `fill`.

    Attributes:
        images: every usable image, in the order of the source.
        rejected: items that should have been images but could not be used, with reasons.
        passed: files that are not samples, with reasons.
        labels: every label that a sample carries, usable or not.
        signatures: of `images`, (n,) of `signature.DTYPE`.
        digests: source of each image file that was read, usable or not -> sha256 of its content.
    """

    images: tuple[PooledImage, ...]
    rejected: tuple[Rejected, ...]
    passed: tuple[Ignored, ...]
    labels: frozenset[str]
    signatures: np.ndarray
    digests: dict[str, str]

    @property
    def ignored(self) -> dict[str, int]:
        """Reason -> number of files in `passed`."""
        return dict(sorted(Counter(item.reason for item in self.passed).items()))


@dataclass(frozen=True, slots=True)
class _Face:
    """A decoded sample: its entry in the pool, the model's input pixels, and its thumbnail."""

    image: PooledImage
    pixels: np.ndarray
    thumb: np.ndarray


@dataclass(frozen=True, slots=True)
class _Batch:
    """The results of some items, one each, in order; the signatures of the faces among them; digests of files read."""

    results: list[_Face | Rejected | Ignored]
    signatures: np.ndarray
    digests: dict[str, str]


def fill(
    items: Iterable[Item], target: Target, keep: Callable[[np.ndarray, np.ndarray], object], on_bad: str, bar: Bar
) -> Pool:
    """Decodes every sample and writes its file into the pool.

    Args:
        items: what the source lists.
        keep: called with the model's input pixels and the thumbnail of each usable image, in order.
        on_bad: "skip" lists unusable items, "stop" raises at the first one (in listing order).

    Raises:
        DataError: an unusable item, with `on_bad="stop"`.
    """
    images: list[PooledImage] = []
    rejected: list[Rejected] = []
    passed: list[Ignored] = []
    labels: set[str] = set()
    signatures = [np.empty(0, signature.DTYPE)]
    digests: dict[str, str] = {}
    for batch in _decoded(items, target):
        for result in batch.results:
            if isinstance(result, Ignored):
                passed.append(result)
            elif isinstance(result, Rejected):
                if on_bad == "stop":
                    raise DataError(
                        f"{target.locate(result.source)}: {result.reason}",
                        f"{account.remedy(result.reason) or 'repair or remove it'}; or run with --on-bad skip to "
                        "continue without it",
                    )
                rejected.append(result)
                labels |= {result.label} if result.label else set()
            else:
                images.append(result.image)
                labels.add(result.image.label)
                keep(result.pixels, result.thumb)
        signatures.append(batch.signatures)
        digests |= batch.digests
        bar.update(len(batch.results))
    return Pool(tuple(images), tuple(rejected), tuple(passed), frozenset(labels), np.concatenate(signatures), digests)


def _decoded(items: Iterable[Item], target: Target) -> Iterator[_Batch]:
    """Yields the results batch by batch, in order, decoded by one thread per core."""
    one_at_a_time = threading.Lock()

    def work(batch: Sequence[Item]) -> _Batch:
        with one_at_a_time if _has_small_files(batch, target) else contextlib.nullcontext():
            return _decode(batch, target)

    threads = machine.usable_cores()
    waiting: deque[Future[_Batch]] = deque()
    with _single_threaded_opencv(), ThreadPoolExecutor(threads, "decode") as executor:
        try:
            for batch in _batches(items):
                waiting.append(executor.submit(work, batch))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Photo:
    """Reads image files and caches the last one, because the faces of one photo are consecutive samples.

    Attributes:
        digests: source of each file that was read -> sha256 of its content.
    """

    def __init__(self, locate: Callable[[str], Path | str]) -> None:
        self._locate = locate
        self.digests: dict[str, str] = {}
        self._source: str | None = None
        self._content, self._pixels = b"", np.empty(0, np.uint8)

    def read(self, source: str) -> tuple[bytes, np.ndarray]:
        """Returns (content of the file, its pixels). Raises UnreadableImage or OSError."""
        if source != self._source:
            self._source = None
            self._content = decode.read_file(self._locate(source))
            self.digests[source] = hashlib.sha256(self._content).hexdigest()
            self._pixels = decode.read_image(self._content)
            self._source = source
        return self._content, self._pixels


def _decode(items: Iterable[Item], target: Target) -> _Batch:
    photo = _Photo(target.locate)
    results = [_face(item, photo, target) if isinstance(item, Sample) else item for item in items]
    thumbs = np.array([result.thumb for result in results if isinstance(result, _Face)], np.uint8)
    return _Batch(results, signature.signatures(thumbs.reshape(-1, near.THUMB, near.THUMB)), photo.digests)


def _face(sample: Sample, photo: _Photo, target: Target) -> _Face | Rejected:
    content = None
    try:
        if sample.pixels is not None:
            pixels = fer_csv.parse_pixels(sample.pixels)
        elif sample.box is not None:
            pixels = decode.crop(photo.read(sample.source)[1], sample.box)
        else:
            content, pixels = photo.read(sample.source)
    except decode.UnreadableImage as error:
        return Rejected(sample.name, error.problem, sample.label)
    except OSError as error:
        return Rejected(sample.name, f"cannot be read: {error.strerror}", sample.label)
    file = file_name(sample)
    _write(target.folder / file, decode.encode_png(pixels) if content is None else content)
    is_part_of_photo = sample.line is not None and sample.pixels is None
    image = PooledImage(
        file=file,
        source=sample.name,
        sha256=decode.pixel_sha256(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
        label=sample.label,
        photo=sample.source if is_part_of_photo else None,
    )
    model_pixels = decode.to_model(pixels, target.image_size, target.color)
    is_thumbnail = model_pixels.shape == (near.THUMB, near.THUMB, 1)
    return _Face(image, model_pixels, model_pixels[:, :, 0] if is_thumbnail else near.thumbnail(pixels))


def file_name(sample: Sample) -> str:
    """Returns a sample's path below the pool: unique, and independent of which other samples there are."""
    stem, suffix = split_name(sample.source)
    stem = _NOT_IN_FILE_NAMES.sub("_", stem)[:60]
    if sample.line is not None:
        stem = f"{stem}_{sample.line}"
    key = hashlib.sha256(sample.name.encode()).hexdigest()[:12]
    is_whole_file = sample.box is None and sample.pixels is None
    return f"{sample.label}/{stem}-{key}{suffix.lower()[:_MAX_SUFFIX] if is_whole_file else '.png'}"


def refuse_foreign_files(workspace: Workspace) -> None:
    """Refuses to replace a pool or split folder that holds files of other origin, which would be lost.

    Raises:
        DataError: there are such files; names one of them.
    """
    for folder, own in ((workspace.pool, _OWN_IN_POOL), (workspace.split, _OWN_IN_SPLIT)):
        foreign = [path for path in file_state.paths(folder) if not own.fullmatch(path)]
        if foreign:
            raise DataError(
                f"{folder} is made anew from the raw images, and {len(foreign):,} files in it are not from there, such "
                f"as {folder / foreign[0]}: they would be lost",
                "move them out of it; images that are wanted belong into the folder of their class in the raw folder",
            )


def _write(path: Path, data: bytes) -> None:
    """Writes one pool file: a copy, never a link, so that no change to the pool reaches the raw folder.

    Raises:
        OSError: with the path, which a full disk's own error lacks.
    """
    with files.naming(path):
        try:
            path.write_bytes(data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _has_small_files(batch: Iterable[Item], target: Target) -> bool:
    samples = [item for item in batch if isinstance(item, Sample)]
    # Table rows have no file of their own and count as 0 bytes.
    total = sum(target.size(sample.source) for sample in samples if sample.pixels is None)
    return total < _SMALL_FILE_BYTES * len(samples)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch


@contextlib.contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Turns off OpenCV's own threads, which would only compete with ours for the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
