"""Near copies are found whatever was done to them, other pictures are not, and the cost stays near-linear."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from tuning.dataset.splitting import near_duplicates as near


def face(key, side=96):
    """A picture with structure at every scale, smooth as a photograph: uint8 RGB (side, side, 3)."""
    rng = np.random.default_rng(key)
    gray = np.zeros((side, side), np.float32)
    for cells in (3, 6, 12, 24):
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        gray += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) / cells**0.5
    gray = 40 + 170 * (gray - gray.min()) / np.ptp(gray)
    return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)


def jpeg(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def find(thumbs, ignore=None):
    return near.find(thumbs, *near.hashes(thumbs), np.zeros(len(thumbs), bool) if ignore is None else ignore)


def found(*images):
    return find(np.stack([near.thumbnail(image) for image in images]))


ALTERATIONS = {
    "darker": lambda image: (image * 0.6).astype(np.uint8),
    "brighter": lambda image: np.clip(image.astype(int) + 40, 0, 255).astype(np.uint8),
    "less contrast": lambda image: (image * 0.4 + 70).astype(np.uint8),
    "smaller": lambda image: cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA),
    "much smaller": lambda image: cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, (250, 250), interpolation=cv2.INTER_CUBIC),
    "stretched": lambda image: cv2.resize(image, (96, 120)),
    "JPEG 90": lambda image: jpeg(image, 90),
    "JPEG 30": lambda image: jpeg(image, 30),
    "JPEG 10": lambda image: jpeg(image, 10),
    "blurred": lambda image: cv2.GaussianBlur(image, (5, 5), 1.2),
    "noisy": lambda image: np.clip(image + np.random.default_rng(9).normal(0, 6, image.shape), 0, 255).astype(np.uint8),
    "marked": lambda image: cv2.putText(image.copy(), "x", (4, 92), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255)),
}


@pytest.mark.parametrize("name", ALTERATIONS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_altered_copy_is_found(name, mirrored):
    for key in range(8):
        copy = ALTERATIONS[name](face(key))
        pairs = found(face(key), face(key + 100), copy[:, ::-1] if mirrored else copy)
        assert [(pair.one, pair.other, pair.mirrored) for pair in pairs] == [(0, 2, mirrored)], key
        assert 0.95 <= pairs[0].correlation <= 1


def test_different_pictures_are_not_near():
    assert found(*map(face, range(300))) == []


def test_a_part_of_a_picture_or_its_negative_is_not_near():
    assert found(face(1), face(1)[:48, :48], 255 - face(1), np.rot90(face(1))) == []


def test_a_hash_alone_does_not_decide():
    """The same order of neighbouring cells, another picture: a picture whose steps are stretched unevenly."""
    image = near.thumbnail(face(5)).astype(np.float32)
    bent = (255 * (image / image.max()) ** 6).astype(np.uint8)
    thumbs = np.stack([image.astype(np.uint8), bent])
    plain, mirrored = near.hashes(thumbs)
    pairs, _, turned = near.candidates(plain, mirrored)
    assert len(pairs) == 1
    assert near.correlations(thumbs, pairs, turned)[0] < near.MIN_CORRELATION
    assert find(thumbs) == []


def test_constant_images_are_near_nothing():
    flat = [np.full((48, 48), gray, np.uint8) for gray in (0, 0, 1, 128, 255)]
    assert find(np.stack(flat)) == []


def test_ignored_images_are_left_out():
    thumbs = np.stack([near.thumbnail(face(1))] * 3)
    assert [(p.one, p.other) for p in find(thumbs, np.array([False, True, False]))] == [(0, 2)]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_to_compare(count):
    assert find(np.zeros((count, 48, 48), np.uint8)) == []


def planted(count, seed=0):
    """Random hashes, of which a twentieth are copies with 0 to 10 bits flipped; and those pairs with distances."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, (count, 2), dtype=np.uint64)
    pairs = {}
    for number, source in enumerate(rng.choice(count // 2, count // 20, replace=False)):
        flips = int(rng.integers(0, near.MAX_DISTANCE + 3))
        copy = values[source].copy()
        for bit in rng.choice(128, flips, replace=False):
            copy[bit // 64] ^= np.uint64(1 << int(bit % 64))
        values[count - 1 - number] = copy
        pairs[int(source), count - 1 - number] = flips
    return values, rng.integers(0, 2**64, (count, 2), dtype=np.uint64), pairs


def test_every_pair_within_the_distance_is_found_and_none_beyond():
    plain, mirrored, pairs = planted(4000)
    rows, distance, turned = near.candidates(plain, mirrored)
    got = {(int(one), int(other)): int(bits) for (one, other), bits in zip(rows, distance, strict=True)}
    assert got == {pair: bits for pair, bits in pairs.items() if bits <= near.MAX_DISTANCE}
    assert set(pairs.values()) >= set(range(near.MAX_DISTANCE + 1))
    assert not turned.any()


def test_mirrored_pairs_are_found_through_the_mirrored_hashes():
    plain, mirrored, _ = planted(500)
    mirrored[7] = plain[300]
    rows, _, turned = near.candidates(plain, mirrored)
    assert [7, 300] in rows[turned].tolist()


def cpu(count):
    plain, mirrored, _ = planted(count)
    start = time.process_time()
    near.candidates(plain, mirrored)
    return time.process_time() - start


def test_the_cost_grows_near_linearly():
    """All pairs would cost 16 times as much for 4 times the images."""
    assert cpu(40_000) < 9 * cpu(10_000)


def test_a_flood_of_equal_hashes_does_not_become_quadratic():
    start = time.process_time()
    near.candidates(np.zeros((3000, 2), np.uint64), np.zeros((3000, 2), np.uint64))
    assert time.process_time() - start < 20
