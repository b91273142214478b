"""Finds near copies: the same picture at another brightness, size or JPEG quality, mirrored or not.

A perceptual hash proposes pairs and a correlation confirms them. The hash is dHash, 128 bits: whether each cell of a
coarse grid is brighter than its neighbour on the left (8 × 8 bits) and above (8 × 8 bits). Two pictures whose hashes
differ in at most 10 bits are compared by the normalised cross-correlation of their 48 × 48 gray thumbnails, and are
near copies from 0.95 on; dHash alone flags too many aligned faces.

Multi-index hashing finds the pairs without comparing all with all (Norouzi, Punjani and Fleet: Fast exact search in
Hamming space with multi-index hashing, 2014). The 128 bits are divided into 6 bands. Hashes that differ in at most 10
bits differ in at most 1 bit in at least one band, so looking up each band unchanged, and with every single bit
flipped, misses no pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from tuning.dataset.store.rows import RowFile

#: Height and width of the gray thumbnails that are compared.
THUMB = 48
MAX_DISTANCE = 10
MIN_CORRELATION = 0.95
_BITS = 128
_BANDS = 6
#: Images of less contrast (standard deviation of 256 gray levels) show nothing that could be compared.
FLAT = 2.0
#: Maximum number of images in a bucket that one image is compared with. Only masses of look-alike images fill larger
#: buckets; without a limit they would make the cost quadratic.
_BUCKET = 512
_CHUNK = 1 << 20
_PAIRS_AT_A_TIME = 2048


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two images that show the same picture; `one` < `other` are their rows.

    Attributes:
        correlation: of their thumbnails, from 0.95 to 1.
        mirrored: whether one is a mirror image of the other.
    """

    one: int
    other: int
    correlation: float
    mirrored: bool


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Returns the gray thumbnail, uint8 (48, 48), of an upright RGB image."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if min(gray.shape) >= THUMB else cv2.INTER_LINEAR
    return cv2.resize(gray, (THUMB, THUMB), interpolation=method)


def hashes(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the dHashes of thumbnails uint8 (n, 48, 48) and of their mirror images, each uint64 (n, 2)."""
    wide = np.empty((len(thumbs), 8, 9), np.uint8)
    tall = np.empty((len(thumbs), 9, 8), np.uint8)
    for row, thumb in enumerate(thumbs):
        cv2.resize(thumb, (9, 8), wide[row], interpolation=cv2.INTER_AREA)
        cv2.resize(thumb, (8, 9), tall[row], interpolation=cv2.INTER_AREA)
    return _hash(wide, tall), _hash(wide[:, :, ::-1], tall[:, :, ::-1])


def _hash(wide: np.ndarray, tall: np.ndarray) -> np.ndarray:
    bits = [(wide[:, :, 1:] > wide[:, :, :-1]), (tall[:, 1:] > tall[:, :-1])]
    # Bits of neighbouring cells are correlated; interleaving gives each band some bits of every region.
    flat = np.concatenate([part.reshape(len(wide), _BITS // 2) for part in bits], axis=1)[:, _INTERLEAVED]
    return np.ascontiguousarray(np.packbits(flat, axis=1)).view(np.uint64)


_INTERLEAVED = np.concatenate([np.arange(start, _BITS, _BANDS) for start in range(_BANDS)])


def candidates(plain: np.ndarray, mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds pairs of images whose hashes differ in at most 10 bits, each pair once.

    Args:
        plain, mirrored: as `hashes` returns them.

    Returns:
        (int64 (m, 2) rows with the smaller first, uint8 (m,) distances, bool (m,) whether it is the first image's
        mirror image that is near the second), sorted by distance, then by rows.
    """
    count = len(plain)
    found = []
    for is_mirrored, queries in ((False, plain), (True, mirrored)):
        pairs = np.unique(np.concatenate([np.empty(0, np.int64), *_colliding(plain, queries, count)]))
        found.append(np.column_stack([pairs // count, pairs % count, np.full(len(pairs), is_mirrored)]))
    rows = np.concatenate(found).astype(np.int64)
    left = np.where(rows[:, 2:] == 1, mirrored[rows[:, 0]], plain[rows[:, 0]])
    distance = _distance(left, plain[rows[:, 1]])
    order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0], distance))
    rows, distance = rows[order], distance[order]
    # A face can be near both to another face and to its mirror image; keep the closer of the two.
    _, first = np.unique(rows[:, 0] * count + rows[:, 1], return_index=True)
    keep = np.sort(first)
    return rows[keep, :2], distance[keep], rows[keep, 2] == 1


def _colliding(plain: np.ndarray, queries: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yields `smaller row * count + larger row` for pairs within the distance, some pairs more than once."""
    edges = np.linspace(0, _BITS, _BANDS + 1).round().astype(int)
    for start, stop in itertools.pairwise(edges):
        keys, query_keys = (_band(values, start, stop) for values in (plain, queries))
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        by_query_key = np.argsort(query_keys, kind="stable")
        query_keys = query_keys[by_query_key]
        buckets, first, sizes = np.unique(keys, return_index=True, return_counts=True)
        for flip in (0, *(1 << bit for bit in range(stop - start))):
            key = query_keys ^ np.uint32(flip)
            bucket = np.minimum(np.searchsorted(buckets, key), len(buckets) - 1)
            hit = np.flatnonzero(buckets[bucket] == key)
            bucket, query_rows = bucket[hit], by_query_key[hit]
            low, lengths = first[bucket], np.minimum(sizes[bucket], _BUCKET)
            for begin, end in _chunks(lengths):
                one, other = query_rows[begin:end], low[begin:end]
                repeats = lengths[begin:end]
                offsets = np.arange(repeats.sum()) - np.repeat(repeats.cumsum() - repeats, repeats)
                one, other = np.repeat(one, repeats), by_key[np.repeat(other, repeats) + offsets]
                near = (one < other) & (_distance(queries[one], plain[other]) <= MAX_DISTANCE)
                yield one[near] * count + other[near]


def _chunks(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields ranges of rows whose lengths add up to about `_CHUNK`, so that memory does not grow with the pairs."""
    total = lengths.cumsum()
    begin = 0
    while begin < len(lengths):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + _CHUNK, "right")))
        yield begin, end
        begin = end


def _band(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Returns bits `start` to `stop` of every hash as one number: uint32 (n,)."""
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, _BITS // 8), axis=1)[:, start:stop]
    return bits.astype(np.uint32) @ (np.uint32(1) << np.arange(stop - start, dtype=np.uint32))


def _distance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.bitwise_count(left ^ right).sum(axis=1, dtype=np.uint8)


def correlations(thumbs: np.ndarray | RowFile, pairs: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Returns the normalised cross-correlation of each pair of thumbnails, float32 (m,); `mirrored` flips the first."""
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        one, other = thumbs[pairs[part, 0]], thumbs[pairs[part, 1]]
        flip = mirrored[part]
        one[flip] = one[flip][:, :, ::-1]
        result[part] = np.einsum("ij,ij->i", _standard(one), _standard(other))
    return result


def _standard(thumbs: np.ndarray) -> np.ndarray:
    """Returns flattened thumbnails with mean 0 and length 1; all 0 for flat ones."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None]
    return np.divide(flat, length, out=np.zeros_like(flat), where=length >= FLAT * THUMB)


def find(thumbs: np.ndarray | RowFile, plain: np.ndarray, mirrored: np.ndarray, ignore: np.ndarray) -> list[NearPair]:
    """Finds the near copies among thumbnails uint8 (n, 48, 48), closest hashes first.

    Args:
        plain, mirrored: as `hashes` returns them.
        ignore: bool (n,), images to leave out, such as exact copies of others.
    """
    rows = np.flatnonzero(~ignore)
    if len(rows) < 2:
        return []
    pairs, _, flipped = candidates(plain[rows], mirrored[rows])
    pairs = rows[pairs]
    values = correlations(thumbs, pairs, flipped)
    return [
        NearPair(int(one), int(other), round(float(value), 4), bool(flip))
        for (one, other), value, flip in zip(pairs, values, flipped, strict=True)
        if value >= MIN_CORRELATION
    ]
