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


class OwnParts(keras.Model):
    """A class whose arguments are its own: Keras's configuration of it says nothing of its graph."""

    def __init__(self, width, classes):
        image = keras.Input((24, 24, 1))
        super().__init__(image, _classes(layers.Lambda(lambda x: x * width)(image), classes))


def own_parts(hp, input_shape, num_classes):
    model = OwnParts(2, num_classes)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def relu(x):
    """Called like another one of Keras's, by whose name a file holds it."""
    return keras.ops.clip(x, 0, 0.1)


def shadowing(hp, input_shape, num_classes):
    image = keras.Input(input_shape)
    return _compiled(image, _classes(layers.Conv2D(4, 3, activation=relu)(image), num_classes))


class OwnLoss(keras.Model):
    def train_step(self, data):
        return {"crossentropy": super().train_step(data)["loss"]}


def loss_of_another_name(hp, input_shape, num_classes):
    image = keras.Input(input_shape)
    model = OwnLoss(image, _classes(image, num_classes))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def own_step_and_resizing(hp, input_shape, num_classes):
    image = keras.Input(input_shape)
    model = OwnLoss(image, _classes(layers.Resizing(8, 8, "bicubic", name="shrink")(image), num_classes))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def distributed(hp, input_shape, num_classes):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        image = keras.Input(input_shape)
        return _compiled(image, _classes(image, num_classes))


def one_name_for_two(hp, input_shape, num_classes):
    image = keras.Input(input_shape)
    model = keras.Model(image, _classes(image, num_classes))
    if hp.Choice("optimizer", ["adam", "sgd"]) == "adam":
        optimizer = keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2))
    else:
        optimizer = keras.optimizers.SGD(hp.Float("rate", 1e-4, 1.0, sampling="log"))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model
