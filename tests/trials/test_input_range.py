"""Which range of pixels a model wants, in whatever way its builder says so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from tuning.trials.input_range import doubts, wants_0_to_1

SHAPE = (24, 24, 3)


def model(before, dtype="float32", shape=SHAPE):
    image = keras.Input(shape, dtype=dtype)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(before(image)))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def adapted(x):
    norm = layers.Normalization(axis=None)
    norm.adapt(np.random.default_rng(0).uniform(0, 255, (16, *SHAPE)).astype("float32"))
    return norm(x)


def flipped_and_rescaled(x):
    return layers.Rescaling(1 / 127.5, offset=-1)(layers.RandomFlip()(x))


def nested(x):
    return keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 255)])(x)


def nested_brightness(x):
    return keras.Sequential([layers.RandomFlip(), layers.RandomBrightness(0.2)])(x)


FULL = {
    "rescaling": lambda x: layers.Rescaling(1 / 255)(x),
    "division": lambda x: x / 255.0,
    "multiplication": lambda x: x * 0.003,
    "centred": lambda x: (x - 127.5) / 127.5,
    "mobilenet": keras.applications.mobilenet_v2.preprocess_input,
    "resnet": keras.applications.resnet50.preprocess_input,
    "densenet": keras.applications.densenet.preprocess_input,
    "normalization": lambda x: layers.Normalization(mean=127.5, variance=127.5**2, axis=None)(x),
    "channels": lambda x: layers.Normalization(mean=[124.0, 117.0, 104.0], variance=[3300.0, 3200.0, 3400.0])(x),
    "adapted": adapted,
    "flipped": flipped_and_rescaled,
    "nested": nested,
    "brightness of 0 to 255": lambda x: layers.RandomBrightness(0.2)(x),
    "nested brightness": nested_brightness,
    "application behind a convolution to three colours": lambda x: nested(layers.Conv2D(3, 1)(x)),
    "normalization behind such a convolution": lambda x: layers.Normalization(mean=120.0, variance=4000.0, axis=None)(
        layers.Conv2D(3, 1)(x)
    ),
    "nested brightness of another size": lambda x: nested_brightness(layers.Resizing(16, 16)(x)),
}
UNIT = {
    "nothing": lambda x: x,
    "flip": lambda x: layers.RandomFlip()(x),
    "another size": lambda x: layers.Resizing(16, 16)(x),
    "rescaled after brightness of 0 to 1": lambda x: layers.Rescaling(2.0, offset=-1.0)(
        keras.Sequential([layers.RandomBrightness(0.2, value_range=(0, 1))])(x)
    ),
    "centred": lambda x: layers.Rescaling(2.0, offset=-1.0)(x),
    "normalization": lambda x: layers.Normalization(mean=0.5, variance=0.07, axis=None)(x),
    "imagenet": lambda x: (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225]),
    "rescaling of features": lambda x: layers.Rescaling(0.01)(layers.Conv2D(3, 1)(x)),
    "brightness of 0 to 1": lambda x: layers.RandomBrightness(0.2, value_range=(0, 1))(x),
    "batch norm": lambda x: layers.BatchNormalization()(x),
}


@pytest.mark.parametrize("name", FULL)
def test_pixels_as_they_are(name):
    made = model(FULL[name])
    assert not wants_0_to_1(made)
    assert doubts(made, scaled=False) is None


@pytest.mark.parametrize("name", UNIT)
def test_pixels_divided_by_255(name):
    made = model(UNIT[name])
    assert wants_0_to_1(made)
    assert doubts(made, scaled=True) is None


def test_an_integer_input_takes_pixels_as_they_are():
    assert not wants_0_to_1(model(lambda x: ops.cast(x, "float32") / 255, dtype="uint8"))


def test_an_application_says_it_inside():
    base = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=(32, 32, 3))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(base.output))
    assert not wants_0_to_1(keras.Model(base.input, outputs))
    around = keras.Input((32, 32, 3))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(base(around)))
    assert not wants_0_to_1(keras.Model(around, outputs))


def test_what_can_hardly_be_learned_from_is_doubted_aloud():
    twice = doubts(model(lambda x: layers.Rescaling(1 / 255)(x / 255)), scaled=False)
    assert "0 to 255" in twice and "a spread of 0.0039" in twice
    assert "0 to 1" in doubts(model(lambda x: x * 1e4), scaled=True)
