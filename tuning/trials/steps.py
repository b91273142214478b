"""The steps of one model: an epoch of training, and outputs for images in large batches."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np

from tuning.trials.batches import EVALUATION_BATCH, EvaluationBatches, TrainingBatches
from tuning.trials.spaces import Interface

#: Methods that a person's own model may replace.
_OWN = ("fit", "train_step")


class Steps(Protocol):
    """How a model is trained and asked. What it compiles serves every epoch.

    Attributes:
        model: the compiled Keras model.
        interface: what the model expects and returns.
        feeding: what `train` expects of its batches; images may be scaled on the device rather than before.
    """

    model: Any
    interface: Interface
    feeding: Interface

    def get_ready(self, batches: TrainingBatches) -> None:
        """Builds what only a batch tells of. To be called before anything is seeded: building may draw numbers."""

    def train(self, batches: TrainingBatches) -> dict[str, Any]:
        """One epoch; returns `loss` and the compiled metrics by name, as `model.fit` would report them."""

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """The model's outputs, float32 (n, classes), for images uint8 (n, height, width, channels)."""


def steps_of(model, interface: Interface) -> Steps:
    """The fastest steps that compute what `model.fit` and `model.predict` do."""
    import keras

    if keras.backend.backend() != "tensorflow" or model.run_eagerly or model.steps_per_execution > 1 or _is_own(model):
        return KerasSteps(model, interface)
    return TensorFlowSteps(model, interface)


def _is_own(model) -> bool:
    """Whether `fit` does more with a model than to repeat Keras's step and to read its metrics."""
    import keras

    # One that brings its own loop is meant to be trained by it; one with its own step reports what that returns.
    own = any(getattr(getattr(model, name), "__func__", None) is not getattr(keras.Model, name) for name in _OWN)
    optimizer = getattr(model, "optimizer", None)  # none where it is only asked
    # At the end of `fit`, and so of every epoch, the average of the weights takes their place.
    return own or getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False)


def build_optimizer(model) -> None:
    """Makes the optimizer's variables, once: a second time, Keras's `LossScaleOptimizer` would add them again."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


class KerasSteps:
    """Keras's own loops, on any backend."""

    def __init__(self, model, interface: Interface) -> None:
        self.model, self.interface, self.feeding = model, interface, interface
        self._built = False

    def get_ready(self, batches: TrainingBatches) -> None:
        if not self._built:
            self.model._symbolic_build(data_batch=batches[0])
            self._built = True

    def train(self, batches: TrainingBatches) -> dict[str, Any]:
        self.get_ready(batches)
        history = self.model.fit(batches, verbose=0, shuffle=False).history
        return {name: values[0] for name, values in history.items()}

    def outputs(self, images: np.ndarray) -> np.ndarray:
        batches = EvaluationBatches(images, self.interface)
        return np.asarray(self.model.predict(batches, verbose=0)).astype(np.float32)


class TensorFlowSteps:
    """Keras's own training step, compiled once for batches of any length and called without Keras's loop around it.

    `model.fit` lays a new `tf.data` pipeline and a second graph around the step, which cost a second in every trial
    and a tenth in every epoch. Images travel as uint8 and are scaled inside the graph.
    """

    def __init__(self, model, interface: Interface) -> None:
        self.model, self.interface = model, interface
        self.feeding = dataclasses.replace(interface, scaled=False)
        self._train: dict[int, Any] = {}  # by the number of arrays in a batch: weights of the samples or none
        self._ask = None

    def get_ready(self, batches: TrainingBatches) -> None:
        if not self._train:
            # Metrics and loss: their variables cannot be made inside the graph.
            self.model._symbolic_build(data_batch=batches[0])
        if len(batches[0]) not in self._train:
            self._train[len(batches[0])] = self._compiled(self._training_step, batches[0])

    def train(self, batches: TrainingBatches) -> dict[str, Any]:
        self.get_ready(batches)
        self.model.reset_metrics()
        step = self._train[len(batches[0])]
        for index in range(len(batches)):
            step(*batches[index])
        return self.model.get_metrics_result()

    def outputs(self, images: np.ndarray) -> np.ndarray:
        if self._ask is None:
            self._ask = self._compiled(self._prediction_step, (images,))
        starts = range(0, len(images), EVALUATION_BATCH)
        return np.concatenate([self._ask(images[start : start + EVALUATION_BATCH]).numpy() for start in starts])

    def _training_step(self, images, *rest) -> None:
        self.model.train_step((self._scaled(images), *rest))

    def _prediction_step(self, images):
        import tensorflow as tf

        return tf.cast(self.model.predict_step((self._scaled(images),)), tf.float32)

    def _scaled(self, images):
        import tensorflow as tf

        return tf.cast(images, tf.float32) / 255 if self.interface.scaled else images

    def _compiled(self, step, batch: tuple[np.ndarray, ...]):
        """`step` as a graph for batches like `batch`, of any length."""
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batch]
        return tf.function(step, input_signature=signature, autograph=False, jit_compile=self.model.jit_compile)
