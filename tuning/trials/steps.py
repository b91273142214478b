"""Training and prediction steps of a model: an epoch of training, and outputs for images in large batches."""

from __future__ import annotations

import dataclasses
import importlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.trials.averages import averages_deferred
from tuning.trials.batches import EvaluationBatches, TrainingBatches
from tuning.trials.keras_private import symbolic_build
from tuning.trials.randomness import Randomness
from tuning.trials.spaces import Interface

if TYPE_CHECKING:
    import keras

#: Methods of `keras.Model` that a custom model may override.
_REPLACEABLE = ("fit", "make_train_function", "train_step", "compute_metrics", "predict", "make_predict_function")


def swap_layers(model: keras.Model) -> None:
    """Replaces the plain layers of a compiled model, in place, by faster equivalents for this backend.

    Weights, names, order and compilation are kept. This is done only to the model that is trained; published models are
    built again, from plain layers.
    """
    _on_this_backend("layers").swap_layers(model)


def steps_of(model: keras.Model, interface: Interface) -> KerasSteps:
    """Returns the fastest steps that are equivalent to `model.fit` and `model.predict`."""
    if model.run_eagerly or model.steps_per_execution > 1 or _is_custom(model):
        return KerasSteps(model, interface)
    return _on_this_backend("steps").steps_of(model, interface)


def _on_this_backend(name: str) -> Any:
    import keras

    return importlib.import_module(f"tuning.trials.on_{keras.backend.backend()}.{name}")


def _is_custom(model: keras.Model) -> bool:
    """Returns whether a model overrides a method that the faster steps bypass."""
    import keras

    # A model with its own loop must be trained by it; one with its own step reports the metrics that the step returns.
    methods = ((getattr(model, name), getattr(keras.Model, name)) for name in _REPLACEABLE)
    return any(getattr(method, "__func__", None) is not plain for method, plain in methods)


def build_optimizer(model: keras.Model) -> None:
    """Creates the optimizer's variables, once: Keras's `LossScaleOptimizer` would add them again a second time."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _randomness(model: keras.Model, batch: tuple[np.ndarray, ...]) -> Randomness:
    """Finds the sources of randomness of a model's own training step by tracing a temporary graph of it."""
    import keras

    if keras.backend.backend() != "tensorflow" or model.run_eagerly:
        return Randomness()
    import tensorflow as tf

    from tuning.trials.on_tensorflow.randomness import found_in

    drawn = random.getstate(), np.random.get_state()[1:3]
    signature = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batch]
    step = tf.function(lambda *data: model.train_step(data), input_signature=signature, autograph=False)
    try:
        found = found_in(step.get_concrete_function().graph, model)
    except Exception:  # whatever a user's step raises: if it matters, training raises it too
        return Randomness(unkeyed=("a step that cannot be read",))
    after = random.getstate(), np.random.get_state()[1:3]
    if drawn[0] != after[0] or drawn[1][1] != after[1][1] or not np.array_equal(drawn[1][0], after[1][0]):
        # Tracing draws random numbers, and Keras traces the step in whichever epoch a process trains first.
        return dataclasses.replace(found, unkeyed=(*found.unkeyed, "Python's or NumPy's random numbers"))
    return found


class KerasSteps:
    """Trains and evaluates a model, here by Keras's own loops on any backend; compiled code serves every epoch.

    Attributes:
        model: the compiled Keras model.
        interface: what the model expects and returns.
        batch_interface: what `train` expects of its batches; images may be scaled on the device rather than before.
        randomness: sources of randomness of the training step; known after `prepare`.
        traces_late: whether the step is traced only with the first batch, to a graph that cannot be inspected.
    """

    def __init__(self, model: keras.Model, interface: Interface) -> None:
        self.model, self.interface, self.batch_interface = model, interface, interface
        import keras

        self.randomness = Randomness()
        self.traces_late = keras.backend.backend() == "jax"
        self._built = False

    def prepare(self, batches: TrainingBatches) -> None:
        """Builds what depends on a batch's shapes; must be called before seeding, since building may draw numbers."""
        if not self._built:
            symbolic_build(self.model, batches[0])
            self._built = True
            self.randomness = _randomness(self.model, batches[0])

    def retrace(self, batches: TrainingBatches) -> None:
        """Traces the training step again, from the current seeds."""
        self.model.train_function = None

    def train(self, batches: TrainingBatches, rates: Sequence[float] | None = None) -> dict[str, Any]:
        """Trains one epoch; returns `loss` and the compiled metrics by name, as `model.fit` would report them.

        Args:
            rates: learning rate of each step; None: the optimizer keeps its current one.
        """
        import keras

        self.prepare(batches)
        callbacks = []
        if rates is not None and keras.backend.backend() == "jax":
            # Keras's loop keeps the optimizer's state on the device for an epoch: one rate serves all its steps.
            self.model.optimizer.learning_rate = float(np.mean(rates))
        elif rates is not None:

            def set_rate(step: int, logs: Any) -> None:
                self.model.optimizer.learning_rate = rates[step]

            callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_begin=set_rate))
        with averages_deferred(self.model.optimizer):
            history = self.model.fit(batches, verbose=0, shuffle=False, callbacks=callbacks).history
        return {name: values[0] for name, values in history.items()}

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Returns the model's outputs, float32 (n, classes), for images uint8 (n, height, width, channels)."""
        batches = EvaluationBatches(images, self.interface)
        return np.asarray(self.model.predict(batches, verbose=0)).astype(np.float32)
