"""Training and prediction steps on TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.keras_private import symbolic_build
from tuning.trials.on_tensorflow.randomness import found_in
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps

if TYPE_CHECKING:
    import keras


def steps_of(model: keras.Model, interface: Interface) -> TensorFlowSteps:
    """Returns the steps of a model that `model.fit` would train in a graph, with Keras's own training step."""
    return TensorFlowSteps(model, interface)


class TensorFlowSteps(KerasSteps):
    """Runs Keras's own training step without Keras's loop, compiled once for batches of any length.

    `model.fit` wraps the step in a new `tf.data` pipeline and a second graph, which costs a second per trial and a
    tenth of a second per epoch. Images are transferred as uint8 and scaled inside the graph.
    """

    def __init__(self, model: keras.Model, interface: Interface) -> None:
        super().__init__(model, interface)
        self.batch_interface = dataclasses.replace(interface, scaled=False)
        self._train: dict[int, Any] = {}  # by the number of arrays in a batch: 3 with sample weights, else 2
        self._predict: Any = None

    def prepare(self, batches: TrainingBatches) -> None:
        if not self._train:
            # The variables of metrics and loss cannot be created inside the graph.
            symbolic_build(self.model, batches[0])
        if len(batches[0]) not in self._train:
            self._train[len(batches[0])] = self._traced(batches[0])

    def retrace(self, batches: TrainingBatches) -> None:
        self._train[len(batches[0])] = self._traced(batches[0])

    def _traced(self, batch: tuple[np.ndarray, ...]) -> Any:
        """Traces the training step as a graph, and records its sources of randomness."""
        step = self._compiled(self._training_step, batch)
        self.randomness = found_in(step.get_concrete_function().graph, self.model)
        return step

    def train(self, batches: TrainingBatches, rates: Sequence[float] | None = None) -> dict[str, Any]:
        self.prepare(batches)
        self.model.reset_metrics()
        step = self._train[len(batches[0])]
        for index in range(len(batches)):
            if rates is not None:
                self.model.optimizer.learning_rate = rates[index]
            step(*batches[index])
        return self.model.get_metrics_result()

    def outputs(self, images: np.ndarray) -> np.ndarray:
        if self._predict is None:
            self._predict = self._compiled(self._prediction_step, (images,))
        starts = range(0, len(images), EVALUATION_BATCH)
        return np.concatenate([self._predict(images[start : start + EVALUATION_BATCH]).numpy() for start in starts])

    def _training_step(self, images: Any, *rest: Any) -> None:
        self.model.train_step((self._scaled(images), *rest))

    def _prediction_step(self, images: Any) -> Any:
        import tensorflow as tf

        return tf.cast(self.model.predict_step((self._scaled(images),)), tf.float32)

    def _scaled(self, images: Any) -> Any:
        import tensorflow as tf

        return tf.cast(images, tf.float32) / 255 if self.interface.scaled else images

    def _compiled(self, step: Callable[..., Any], batch: tuple[np.ndarray, ...]) -> Any:
        """Returns `step` as a graph for batches of any length with the shapes and types of `batch`."""
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batch]
        return tf.function(step, input_signature=signature, autograph=False, jit_compile=self.model.jit_compile)
