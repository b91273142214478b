"""The measured models, in plain Keras, as a user who does not know this package writes them."""

from __future__ import annotations

import keras
import keras_tuner
from keras import layers

BATCH = 64
CLASSES = 7


def usual_cnn(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the usual CNN with the usual hyperparameters.

    Three blocks of convolution, batch normalisation, ReLU, pooling and dropout; with the default values, they have 32,
    64 and 128 filters, and the model has 684,199 parameters. The labels are one-hot, so that Keras's own macro-F1
    metric can be compiled in. The batch statistics have momentum 0.9, because with Keras's default of 0.99 the
    validation scores of short trainings mean nothing.
    """
    hp.Fixed("batch_size", BATCH)
    width = hp.Choice("width", [16, 32, 48], default=32)
    dropout = hp.Float("dropout", 0.0, 0.4, step=0.1, default=0.2)
    units = hp.Choice("units", [64, 128, 256], default=128)
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    return _cnn(width, dropout, units, rate)


def augmented_cnn(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the same CNN, with sampler, flips and full augmentation."""
    hp.Fixed("class_balance", "sampler")
    hp.Fixed("augmentation", 1.0)
    hp.Fixed("flip", True)
    return usual_cnn(hp)


def equal_cnns(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the same CNN from a space in which every configuration takes equally long."""
    hp.Fixed("batch_size", BATCH)
    dropout = hp.Float("dropout", 0.1, 0.4, step=0.1, default=0.2)
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    return _cnn(32, dropout, 128, rate)


def stamped_cnn(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build `usual_cnn`; its first training step writes the monotonic time to the file that STAMP names."""
    model = usual_cnn(hp)
    model.compile(optimizer=model.optimizer, loss=_stamping_categorical_crossentropy, metrics=["accuracy"])
    return model


def _cnn(width: int, dropout: float, units: int, rate: float) -> keras.Model:
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for block in range(3):
        x = layers.Conv2D(width * 2**block, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", dtype="float32")(x))
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy", keras.metrics.F1Score(average="macro", name="f1_macro")],
    )
    return model


def _stamping_categorical_crossentropy(labels, predictions):
    import tensorflow as tf

    with tf.control_dependencies([tf.numpy_function(_stamp, [], [])]):
        return keras.losses.categorical_crossentropy(labels, tf.identity(predictions))


def _stamp() -> None:
    import os
    import time
    from pathlib import Path

    path = Path(os.environ["STAMP"])
    if not path.exists():
        path.write_text(str(time.monotonic()))
