"""Model builders that draw random numbers from generators whose state is in no checkpoint; used by the tests."""

from __future__ import annotations

import itertools
import os
import random

import keras
import numpy as np
from keras import layers, ops

_AT_IMPORT = random.random(), float(np.random.random())


def _compiled(input_shape, num_classes, before=(), loss="sparse_categorical_crossentropy", optimizer=None, kind=None):
    image = keras.Input(input_shape)
    x = image
    for layer in before:
        x = layer(x)
    x = layers.Dense(num_classes, activation="softmax")(layers.Flatten()(x))
    model = (kind or keras.Model)(image, x)
    model.compile(optimizer or keras.optimizers.SGD(0.01), loss)
    return model


def _crossentropy(y_true, y_pred, noise):
    plain = keras.losses.categorical_crossentropy(y_true, y_pred)
    return plain * (1 + ops.cast(noise, plain.dtype))


def augmix(hp, input_shape, num_classes):
    """A Keras layer that draws from Python's `random` while its graph is traced."""
    hp.Fixed("batch_size", 16)
    return _compiled(input_shape, num_classes, [layers.AugMix(value_range=(0, 1))])


def seeds_everything(hp, input_shape, num_classes):
    keras.utils.set_random_seed(42)
    return _compiled(input_shape, num_classes)


def seeds_python(hp, input_shape, num_classes):
    random.seed(hp.Fixed("seed", 7))
    return _compiled(input_shape, num_classes)


def seeds_numpy(hp, input_shape, num_classes):
    np.random.seed(1)
    return _compiled(input_shape, num_classes)


_calls = itertools.count()


def _from(kernel, input_shape, num_classes):
    image = keras.Input(input_shape)
    x = layers.Dense(num_classes, activation="softmax", kernel_initializer=kernel)(layers.Flatten()(image))
    model = keras.Model(image, x)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model


def counts_its_calls(hp, input_shape, num_classes):
    """A seed that counts the calls, as users write it to get other weights in every trial."""
    return _from(keras.initializers.GlorotUniform(seed=next(_calls)), input_shape, num_classes)


def grows(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, [layers.Conv2D(1 + next(_calls), 1)])


def unseeded(hp, input_shape, num_classes):
    model = _compiled(input_shape, num_classes)
    model.set_weights([np.random.default_rng().normal(size=weight.shape) for weight in model.get_weights()])
    return model


def seeded_layers(hp, input_shape, num_classes):
    kernel = keras.initializers.GlorotUniform(seed=3)
    image = keras.Input(input_shape)
    x = layers.Dense(num_classes, activation="softmax", kernel_initializer=kernel)(layers.Flatten()(image))
    model = keras.Model(image, x)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model


class Noisy(keras.Model):
    def train_step(self, data):
        images, labels = data
        return super().train_step((images + 0.1 * keras.random.normal(ops.shape(images)), labels))


def unseeded_step(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, kind=Noisy)


def tf_loss(hp, input_shape, num_classes):
    def own_categorical(y_true, y_pred):
        import tensorflow as tf

        return _crossentropy(y_true, y_pred, tf.random.uniform((), 0, 0.5))

    return _compiled(input_shape, num_classes, loss=own_categorical)


def numpy_loss(hp, input_shape, num_classes):
    def own_categorical(y_true, y_pred):
        return _crossentropy(y_true, y_pred, np.random.uniform(0, 0.5))

    return _compiled(input_shape, num_classes, loss=own_categorical)


class OwnStep(keras.Model):
    def train_step(self, data):
        images, labels = data
        return super().train_step((images * random.uniform(0.5, 1.0), labels))


def python_step(hp, input_shape, num_classes):
    """A training step that draws from Python's `random`, which is a constant in its graph."""
    return _compiled(input_shape, num_classes, kind=OwnStep)


class TfStep(keras.Model):
    def train_step(self, data):
        import tensorflow as tf

        images, labels = data
        return super().train_step((images + tf.random.normal(tf.shape(images), stddev=0.1), labels))


def tf_step(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, kind=TfStep)


class Shaken(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient + random.random() + np.random.random(), variable, learning_rate)


def python_optimizer(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, optimizer=Shaken(0.001))


def generator_in_loss(hp, input_shape, num_classes):
    """A seed generator that belongs to no layer."""
    generator = keras.random.SeedGenerator(7)

    def own_categorical(y_true, y_pred):
        return _crossentropy(y_true, y_pred, keras.random.uniform((), 0, 0.5, seed=generator))

    return _compiled(input_shape, num_classes, loss=own_categorical)


def unseeded_layers(hp, input_shape, num_classes):
    before = [layers.GaussianNoise(0.1), layers.Dropout(0.2), layers.RandomFlip()]
    return _compiled(input_shape, num_classes, before)


def at_import(hp, input_shape, num_classes):
    """Uses random numbers that its module drew when it was imported."""
    return _compiled(input_shape, num_classes, [layers.Rescaling(sum(_AT_IMPORT))])


# Builders that cannot be made repeatable ------------------------------------------------------------------------------


def system_random(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, [layers.Rescaling(1 + int.from_bytes(os.urandom(2), "big") / 1e5)])


def variable_in_loss(hp, input_shape, num_classes):
    """A loss that counts its calls in a TensorFlow variable."""
    import tensorflow as tf

    calls = tf.Variable(0.0, name="calls")

    def own_categorical(y_true, y_pred):
        return _crossentropy(y_true, y_pred, calls.assign_add(1.0) / 10)

    return _compiled(input_shape, num_classes, loss=own_categorical)
