"""Backbones of Keras Applications, their weights from a file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tuning.core.errors import UsageError
from tuning.trials import applications


def small(include_top=True, weights=None, input_shape=(16, 16, 3), width=4) -> keras.Model:
    """Made like an application: most of its layers have no name, some have."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(width, 3, strides=2, activation="relu", name="stem")(image)
    for _ in range(2):
        branch = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Add()([layers.Conv2D(width, 1)(x), branch])
    x = layers.BatchNormalization()(x)
    if include_top:
        x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


def test_of_a_whole_classifiers_file_all_below_its_head_is_taken(tmp_path):
    whole = small()
    random = np.random.default_rng(0)
    whole.set_weights([random.uniform(0.1, 1, value.shape) for value in whole.get_weights()])
    path = tmp_path / "whole.h5"
    whole.save(path)
    pixels = random.uniform(0, 1, (2, 16, 16, 3)).astype("float32")
    expected = keras.Model(whole.inputs, whole.layers[-3].output).predict(pixels, verbose=0)
    found = applications._from_file("Small", small, (16, 16, 3), str(path))
    np.testing.assert_allclose(found.predict(pixels, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("include_top", [True, False])
def test_weights_of_something_else_are_refused(tmp_path, include_top):
    path = tmp_path / "other.h5"
    small(include_top, width=3).save(path)
    with pytest.raises(UsageError, match="does not hold weights of Small"):
        applications._from_file("Small", small, (16, 16, 3), str(path))
