from __future__ import annotations

import numpy as np
import pytest

from tuning.trials.augmentation import MAX_SHIFT, MAX_ZOOM, augment


def pictures(count=40, size=24, channels=1, seed=0):
    """Smooth pictures, as faces are: noise would not survive any interpolation."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = rng.uniform(1, 5, (count, channels, 1, 1, 2))
    shade = np.sin(waves[..., 0] * x + 1) * np.cos(waves[..., 1] * y)
    return np.ascontiguousarray((127 + 120 * shade).astype(np.uint8).transpose(0, 2, 3, 1))


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [0.0, 0.5, 1.0])
def test_pictures_keep_their_shape_and_type_and_are_copies(channels, magnitude):
    images = pictures(channels=channels)
    before = images.copy()
    images.setflags(write=False)
    found = augment(images, magnitude, True, rng())
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    assert np.array_equal(images, before)
    assert not np.shares_memory(found, images)


@pytest.mark.parametrize("magnitude", [0.0, 0.75])
def test_the_result_depends_on_the_arguments_and_the_generator_alone(magnitude):
    images = pictures()
    np.random.seed(3)
    first = augment(images, magnitude, True, rng())
    np.random.seed(4)
    assert np.array_equal(first, augment(images, magnitude, True, rng()))
    assert not np.array_equal(first, augment(images, magnitude, True, rng(2)))


@pytest.mark.parametrize("channels", [1, 3])
def test_magnitude_zero_is_flips_at_most_and_exact(channels):
    images = pictures(count=400, channels=channels)
    assert np.array_equal(augment(images, 0.0, False, rng()), images)
    found = augment(images, 0.0, True, rng())
    same = (found == images).all(axis=(1, 2, 3))
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_a_flip_mirrors_left_and_right_and_never_upside_down():
    images = np.zeros((60, 24, 24, 1), np.uint8)
    images[:, :12] = 200  # bright above
    images[:, :, :12] += 50  # brighter to the left
    found = augment(images, 0.0, True, rng()).astype(int)
    assert (found[:, :12].mean(axis=(1, 2, 3)) > found[:, 12:].mean(axis=(1, 2, 3))).all()
    brighter_left = found[:, :, :12].mean(axis=(1, 2, 3)) > found[:, :, 12:].mean(axis=(1, 2, 3))
    assert 0 < brighter_left.sum() < len(images)


def test_without_flips_no_picture_is_mirrored_at_any_magnitude():
    images = np.zeros((60, 24, 24, 1), np.uint8)
    images[:, :, :12] = 200
    found = augment(images, 1.0, False, rng()).astype(int)
    assert (found[:, :, :12].mean(axis=(1, 2, 3)) > found[:, :, 12:].mean(axis=(1, 2, 3))).all()


def test_a_mirrored_picture_stays_in_its_place():
    images = pictures(count=100, size=48)
    found = augment(images, 0.001, True, rng()).astype(int)
    same, mirrored = (np.abs(found - other).mean(axis=(1, 2, 3)) for other in (images, images[:, :, ::-1]))
    assert np.minimum(same, mirrored).max() < 2
    assert 20 < (mirrored < same).sum() < 80


@pytest.mark.parametrize("magnitude", [0.25, 1.0])
def test_what_is_in_a_picture_stays_in_it(magnitude):
    """A disc keeps its place and size but for the shift, zoom and contrast allowed, and an erased part."""
    size = 48
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    disc = np.where(x**2 + y**2 < (size / 4) ** 2, 220, 30).astype(np.uint8)
    found = augment(np.repeat(disc[None, ..., None], 300, axis=0), magnitude, True, rng())[..., 0]
    bright = found > 128
    area = bright.sum(axis=(1, 2)) / (disc > 128).sum()
    assert area.max() < (1 + MAX_ZOOM * magnitude) ** 2 * 1.05
    assert (area > (1 - MAX_ZOOM * magnitude) ** 2 * 0.95).mean() > 1 - 0.5 * magnitude
    assert area.min() > 0.4
    moved = [abs((bright * axis).sum(axis=(1, 2)) / bright.sum(axis=(1, 2))) / size for axis in (x, y)]
    assert np.median(moved) < MAX_SHIFT * magnitude
    assert np.max(moved) < MAX_SHIFT * magnitude + 0.1


def test_larger_magnitudes_change_more():
    images = pictures(count=100)
    changes = [
        np.abs(augment(images, magnitude, False, rng()).astype(int) - images).mean() for magnitude in (0.0, 0.25, 1.0)
    ]
    assert changes[0] == 0
    assert changes[0] < changes[1] < changes[2]


def test_the_draws_of_one_picture_do_not_depend_on_the_values_of_others():
    images, others = pictures(), pictures(seed=9)
    others[0] = images[0]
    assert np.array_equal(augment(images, 1.0, True, rng())[0], augment(others, 1.0, True, rng())[0])


def test_extreme_pixels_stay_in_range():
    images = np.stack([np.zeros((24, 24, 1), np.uint8), np.full((24, 24, 1), 255, np.uint8)])
    found = augment(images, 1.0, True, rng())
    # Contrast turns about middle grey: black stays dark and white bright, without wrapping round.
    assert found[0].max() < 40
    assert found[1].min() > 215
