"""Model builders that Keras Tuner accepts but this package cannot search; used by the tests."""

from __future__ import annotations

import keras
from keras import layers


def _compiled(image, outputs, loss="sparse_categorical_crossentropy"):
    model = keras.Model(image, outputs)
    model.compile("adam", loss)
    return model


def _classes(image, num_classes):
    return layers.Dense(num_classes, activation="softmax")(layers.Flatten()(image))


def steps_of_nothing(hp, input_shape, num_classes):
    hp.Int("units", 4, 32, step=0)
    image = keras.Input(input_shape)
    return _compiled(image, _classes(image, num_classes))


def steps_down(hp, input_shape, num_classes):
    hp.Float("rate", 0.1, 0.5, step=-0.1)
    image = keras.Input(input_shape)
    return _compiled(image, _classes(image, num_classes))


def scope_of_keras_tuner(hp, input_shape, num_classes):
    with hp.name_scope("tuner"):
        hp.Int("layers", 1, 3)
    image = keras.Input(input_shape)
    return _compiled(image, _classes(image, num_classes))


def outputs_by_name(hp, input_shape, num_classes):
    """Outputs in a dictionary, as in a model for several tasks."""
    image = keras.Input(input_shape)
    return _compiled(image, {"emotion": _classes(image, num_classes)}, {"emotion": "sparse_categorical_crossentropy"})


def fixed_batch(hp, input_shape, num_classes):
    image = keras.Input(input_shape, batch_size=hp.Choice("batch_size", [32, 64]))
    return _compiled(image, _classes(image, num_classes))
