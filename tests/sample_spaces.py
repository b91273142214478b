"""Model builders as users write them, small enough that a trial takes a fraction of a second; used by the tests."""

from __future__ import annotations

import functools
import os
import signal

import keras
import keras_tuner
import numpy as np
from keras import layers


def tiny(hp, input_shape, num_classes):
    """Trains fast, and depends on all random numbers: initial weights, order, augmentation, dropout."""
    hp.Choice("batch_size", [8, 16], default=16)
    hp.Float("augmentation", 0.0, 1.0, step=0.5, default=0.5)
    hp.Fixed("flip", True)
    hp.Choice("class_balance", ["none", "weights", "sampler"], default="none")
    hp.Choice("schedule", ["constant", "cosine", "plateau"], default="constant")
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
    optimizer = hp.Choice("optimizer", ["adam", "adamw"], default="adam")
    with hp.conditional_scope("optimizer", ["adamw"]):
        decay = hp.Float("weight_decay", 1e-4, 1e-1, sampling="log", default=1e-2)
    made = keras.optimizers.Adam(rate) if optimizer == "adam" else keras.optimizers.AdamW(rate, weight_decay=decay)
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(inputs)
    x = layers.Dense(hp.Int("units", 4, 32, default=8), activation="relu")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32")(x)
    model = keras.Model(inputs, outputs)
    model.compile(made, "categorical_crossentropy", metrics=["accuracy"])
    return model


def _compiled(input_shape, num_classes, loss, activation="softmax", rescaling=False, metrics=(), optimizer="adam"):
    model = keras.Sequential([keras.Input(input_shape)])
    if rescaling:
        model.add(layers.Rescaling(1 / 255))
    model.add(layers.Flatten())
    model.add(layers.Dense(num_classes, activation=activation, dtype="float32"))
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def hp_only(hp):
    """Input shape and number of classes are constants in the function, as in Keras Tuner's guides."""
    hp.Float("rate", 1e-3, 1e-2, sampling="log")
    return _compiled((24, 24, 1), 3, "sparse_categorical_crossentropy", metrics=["accuracy"])


def one_hot_rescaling(hp, input_shape, num_classes):
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    return _compiled(input_shape, num_classes, loss, rescaling=True, metrics=[keras.metrics.F1Score(average="macro")])


def sparse_logits(hp, input_shape, num_classes):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _compiled(input_shape, num_classes, loss, activation=None, metrics=["sparse_categorical_accuracy"])


def one_hot_logits_own_metric(hp, input_shape, num_classes):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    return _compiled(input_shape, num_classes, loss, activation=None, rescaling=True, metrics=[own_metric, "acc"])


def own_metric(y_true, y_pred):
    return keras.ops.mean(
        keras.ops.cast(keras.ops.equal(keras.ops.argmax(y_true), keras.ops.argmax(y_pred)), "float32")
    )


def own_schedule(hp, input_shape, num_classes):
    rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.9)
    return _compiled(
        input_shape, num_classes, keras.losses.sparse_categorical_crossentropy, optimizer=keras.optimizers.SGD(rate)
    )


class OwnStep(keras.Model):
    """A training step as in Keras's guides."""

    def train_step(self, data):
        return super().train_step(data)


def own_step(hp, input_shape, num_classes):
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(inputs)
    model = OwnStep(inputs, layers.Dense(num_classes, activation="softmax", dtype="float32")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class OwnCall(OwnStep):
    def call(self, inputs, **options):
        return super().call(inputs, **options) ** 2


def own_call(hp, input_shape, num_classes):
    inputs = keras.Input(input_shape)
    model = OwnCall(inputs, layers.Dense(num_classes, activation="softmax")(layers.Flatten()(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


_base: list[keras.Model] = []


def shared_base(hp, input_shape, num_classes):
    """A model part that is created once per process and shared by all models."""
    if not _base:
        _base.append(keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(4)]))
    inputs = keras.Input(input_shape)
    model = keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(_base[0](inputs)))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2)), "sparse_categorical_crossentropy")
    return model


class Own(keras_tuner.HyperModel):
    """A HyperModel as a class."""

    def __init__(self, hidden=0):
        super().__init__()
        self.hidden = hidden

    def build(self, hp):
        hp.Int("depth", 1, 2 + self.hidden)
        return _compiled((24, 24, 1), 3, "categorical_crossentropy")


own_instance = Own(hidden=3)


class Declaring(Own):
    """Reads a hyperparameter that it declared in `declare_hyperparameters`."""

    def declare_hyperparameters(self, hp):
        hp.Int("filters", 4, 16, step=4)

    def build(self, hp):
        hp.get("filters")
        return super().build(hp)


class Shaped(Own):
    """Its constructor takes input shape and classes, as those of Keras Tuner's applications do."""

    def __init__(self, input_shape=None, classes=None):
        super().__init__()
        assert input_shape and classes
        self.shape, self.classes = input_shape, classes

    def build(self, hp):
        return _compiled(self.shape, self.classes, "categorical_crossentropy")


class Fitting(Own):
    """Has a `fit` of its own."""

    def fit(self, hp, model, *arguments, **options):
        return model.fit(*arguments, batch_size=hp.Choice("batch_size", [4, 64]), **options)


def loss_in_a_list(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, ["sparse_categorical_crossentropy"])


def loss_by_name(hp, input_shape, num_classes):
    model = _compiled(input_shape, num_classes, "sparse_categorical_crossentropy")
    loss = {model.layers[-1].name: keras.losses.SparseCategoricalCrossentropy()}
    model.compile("adam", loss)
    return model


def loss_as_partial(hp, input_shape, num_classes):
    loss = functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=True)
    return _compiled(input_shape, num_classes, loss, activation=None)


def epochs_as_hyperparameter(hp, input_shape, num_classes):
    hp.Int("epochs", 5, 50)
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


def flip_in_words(hp, input_shape, num_classes):
    hp.Choice("flip", ["none", "horizontal"])
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


def later_schedule(hp, input_shape, num_classes):
    hp.Choice("schedule", ["constant", "step", "exponential"])
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


def clears_the_session(hp, input_shape, num_classes):
    keras.utils.clear_session()
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


_SHARED_OPTIMIZER = keras.optimizers.Adam()


def shared_optimizer(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, "categorical_crossentropy", optimizer=_SHARED_OPTIMIZER)


def exits(hp, input_shape, num_classes):
    raise SystemExit("no GPU")


def own_arguments(hp, shape, labels, hidden=0):
    return _compiled(shape, labels, "categorical_crossentropy")


def sets_half_precision(hp, input_shape, num_classes):
    keras.config.set_dtype_policy("mixed_float16")
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


def regularizes_activity(hp, input_shape, num_classes):
    """Keras cannot train activity regularizers in bfloat16."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, activation="relu", activity_regularizer="l2")(image)
    model = keras.Model(image, layers.Dense(num_classes, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def last_activation(hp, input_shape, num_classes):
    """With "sigmoid", the outputs are no probability distribution."""
    last = hp.Choice("last", ["softmax", "sigmoid"])
    return _compiled(input_shape, num_classes, "sparse_categorical_crossentropy", activation=last)


# Builders that cannot work, each for another reason ------------------------------------------------------------------

not_callable = 3


def no_model(hp, input_shape, num_classes):
    return "a model"


def uncompiled(hp, input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])


def regression(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, "mse")


def linear_outputs(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes, "categorical_crossentropy", activation=None)


def two_outputs_too_many(hp, input_shape, num_classes):
    return _compiled(input_shape, num_classes + 2, "categorical_crossentropy")


def no_flatten(hp, input_shape, num_classes):
    model = keras.Sequential([keras.Input(input_shape), layers.Dense(num_classes, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def two_outputs(hp, input_shape, num_classes):
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(inputs)
    model = keras.Model(inputs, [layers.Dense(num_classes, activation="softmax")(x) for _ in range(2)])
    model.compile("adam", ["categorical_crossentropy"] * 2)
    return model


def two_inputs(hp, input_shape, num_classes):
    inputs = [keras.Input(input_shape) for _ in range(2)]
    x = layers.Flatten()(layers.Add()(inputs))
    model = keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy")
    return model


def other_images(hp, input_shape, num_classes):
    return _compiled((48, 48, 3), num_classes, "categorical_crossentropy")


def subclassed(hp, input_shape, num_classes):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.dense = layers.Flatten(), layers.Dense(num_classes, activation="softmax")

        def call(self, inputs):
            return self.dense(self.flat(inputs))

    model = Model()
    model.compile("adam", "categorical_crossentropy")
    return model


def raises(hp, input_shape, num_classes):
    raise ValueError("no such layer\nsecond line")


def wrong_batch_size(hp, input_shape, num_classes):
    hp.Choice("batch_size", ["small", "large"])
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


# Trials that end badly -----------------------------------------------------------------------------------------------


def diverges(hp, input_shape, num_classes):
    rate = hp.Choice("rate", [1e-2, 1e38], default=1e-2)
    return _compiled(input_shape, num_classes, "categorical_crossentropy", optimizer=keras.optimizers.SGD(rate))


def endless_metric(hp, input_shape, num_classes):
    """A metric that is never finite, and a choice among NumPy values."""

    def acc(y_true, y_pred):
        return keras.ops.mean(y_pred) / 0.0

    hp.Choice("width", list(np.linspace(0.5, 1.0, 3)))
    return _compiled(input_shape, num_classes, "categorical_crossentropy", metrics=[acc])


def deadly(hp, input_shape, num_classes):
    """Some values end the process, as a crash in native code or the OOM killer does."""
    end = hp.Choice("end", ["well", "exit", "kill", "raise"], default="well")
    hp.Choice("batch_size", [8, 16])
    if end == "exit":
        os._exit(7)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "raise":
        raise RuntimeError(f"cannot build this at 0x{id(hp):x}")
    return _compiled(input_shape, num_classes, "categorical_crossentropy")


def only_default_builds(hp, input_shape, num_classes):
    """Only the default can be trained; with any other value, training fails with the same error."""
    rate = hp.Float("rate", 1e-3, 1e-2, default=1e-3)
    model = _compiled(input_shape, num_classes, "categorical_crossentropy")
    if rate != 1e-3:
        model.fit = _broken
    return model


def nothing_trains(hp, input_shape, num_classes):
    model = _compiled(input_shape, num_classes, "categorical_crossentropy")
    model.fit = _broken
    return model


def _broken(*_, **__):
    raise RuntimeError("the data pipeline is broken")


def wasteful(hp, input_shape, num_classes):
    """Uses `units_1` only with a second layer, though it is in the space unconditionally; with `dead`, never learns."""
    depth = hp.Int("depth", 1, 2)
    dead = hp.Boolean("dead")
    model = keras.Sequential([keras.Input(input_shape), layers.Flatten()])
    for layer in range(depth):
        model.add(layers.Dense(hp.Choice(f"units_{layer}", [4, 8]), activation="relu"))
    model.add(layers.Dense(num_classes, "softmax", kernel_initializer="zeros" if dead else "glorot_uniform"))
    model.compile(keras.optimizers.Adam(0.0 if dead else 1e-2), "sparse_categorical_crossentropy")
    return model


def adapted(hp, input_shape, num_classes):
    """A preprocessing layer that is adapted to images before it becomes part of the model, as in Keras's guide."""
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).uniform(0.2, 0.4, (32, *input_shape)).astype("float32"))
    return _normalised(norm, input_shape, num_classes)


def forgetful(hp, input_shape, num_classes):
    """A layer whose statistics are neither weights nor arguments, so that a saved model does not contain them."""
    norm = layers.Normalization(mean=0.0, variance=1.0)
    norm.build((None, *input_shape))
    norm.mean = norm.mean + 0.5
    norm.variance = norm.variance / 9
    return _normalised(norm, input_shape, num_classes)


def _normalised(norm, input_shape, num_classes):
    image = keras.Input(input_shape)
    outputs = layers.Dense(num_classes, activation="softmax")(layers.Flatten()(norm(image)))
    model = keras.Model(image, outputs)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
