"""Counted by hand; Keras builds these models on NumPy."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from tuning.trials.cost import least_memory, multiply_adds


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


def test_training_holds_weights_gradients_and_what_kernels_were_applied_to():
    """In a batch of 10: 8×8×3 and 8×8×5 numbers for each image, in four bytes or in two; weights always in four."""
    for dtype, size in (("float32", 4), ("mixed_bfloat16", 2)):
        stack = [
            layers.Conv2D(5, 3, padding="same", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Conv2D(2, 3, dtype=dtype),
        ]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
        kernels = 9 * 3 * 5 + 5 + 9 * 5 * 2 + 2
        assert least_memory(model, 10) == 4 * (2 * (kernels + 10) + 10) + 10 * size * (64 * 3 + 64 * 5)


def test_what_several_kernels_read_is_held_once_and_for_frozen_ones_nothing_is():
    inputs = keras.Input((8, 8, 3))
    branches = [layers.Conv2D(2, 1, use_bias=False, name=name)(inputs) for name in "abc"]
    model = keras.Model(inputs, layers.Add()(branches))
    assert least_memory(model, 10) == 3 * 4 * 2 * 6 + 10 * 4 * 64 * 3
    model.get_layer("a").trainable = False
    assert least_memory(model, 10) == 4 * (2 * 12 + 6) + 10 * 4 * 64 * 3
    model.trainable = False
    assert least_memory(model, 10) == 4 * 18
