"""Counted by hand; Keras builds these models on NumPy."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from tuning.trials.cost import multiply_adds


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([layers.Flatten(), layers.Dense(10)], 8 * 8 * 3 * 10),
        ([layers.Conv2D(5, 3, padding="same")], 8 * 8 * 9 * 3 * 5),
        ([layers.Conv2D(5, 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU()], 16 * 9 * 3 * 5),
        ([layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")], 64 * 9 * 3 * 2),
        ([layers.SeparableConv2D(7, 3, padding="same")], 64 * (9 * 3 + 3 * 7)),
        ([layers.Conv2D(6, 1, groups=3), layers.GlobalAveragePooling2D(), layers.Dense(4)], 64 * 6 + 6 * 4),
        ([keras.Sequential([layers.Conv2D(5, 3, padding="same"), layers.MaxPooling2D()]), layers.Dense(4)],
         64 * 9 * 3 * 5 + 16 * 5 * 4),
        ([layers.Rescaling(1 / 255), layers.Dropout(0.5)], 0),
    ],
)  # fmt: skip
def test_kernels_count_once_for_each_output_position(stack, expected):
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    assert multiply_adds(model) == expected
