"""What is kept of the test images that a model got most wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.dataset.store.packing import ImageSplit
from tuning.trials.mistakes import SHOWN, SIDE, worst_mistakes


def split(images: int, side: int = 8, channels: int = 1) -> ImageSplit:
    pixels = np.random.default_rng(1).integers(0, 256, (images, side, side, channels), dtype=np.uint8)
    return ImageSplit(pixels, np.zeros(images, np.int64))


def test_the_lowest_probability_of_the_true_class_comes_first_and_right_answers_never():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.01, 0.99], [0.2, 0.8]], np.float32)
    given = split(4)
    found = worst_mistakes(given, probabilities)
    assert found["worst"].tolist() == [2, 3, 1]
    assert (found["worst_images"] == given.images[[2, 3, 1]]).all()


def test_no_mistake_is_an_empty_answer():
    found = worst_mistakes(split(3), np.array([[1, 0]] * 3, np.float32))
    assert found["worst"].tolist() == []
    assert found["worst_images"].shape == (0, 8, 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_shrunk_and_many_are_few(channels):
    found = worst_mistakes(split(40, 2 * SIDE, channels), np.array([[0, 1]] * 40, np.float32))
    assert found["worst"].shape == (SHOWN,)
    assert found["worst_images"].shape == (SHOWN, SIDE, SIDE, channels)
    assert found["worst_images"].dtype == np.uint8
