"""Training and prediction steps on JAX."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.keras_private import learning_rate_variable
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps

#: Largest number of batches per call on a GPU, and of their bytes: a call has more overhead than a small step takes.
BATCHES_A_CALL, BYTES_A_CALL = 16, 2**26
#: Number of calls that may be queued on the device, with their batches in its memory.
CALLS_AHEAD = 2

Arrays = tuple[np.ndarray, ...]


def steps_of(model: keras.Model, interface: Interface) -> KerasSteps:
    """Returns the steps of a model that `model.fit` would train with Keras's own training step."""
    return (JaxSteps if model.jit_compile else KerasSteps)(model, interface)


class JaxSteps(KerasSteps):
    """Runs Keras's own stateless training step without Keras's loop; the state stays on the device for an epoch.

    A GPU gets several batches per call. Images are transferred as uint8 and scaled inside the step.
    """

    def __init__(self, model: keras.Model, interface: Interface) -> None:
        super().__init__(model, interface)
        self.batch_interface = dataclasses.replace(interface, scaled=False)
        # On a CPU this gains nothing, and XLA uses slower code for convolutions within a loop.
        self._most = 1 if jax.default_backend() == "cpu" else BATCHES_A_CALL
        self._train = jax.jit(self._training_steps, donate_argnums=0, static_argnums=4)
        self._predict = jax.jit(self._prediction_step)

    def train(self, batches: TrainingBatches, rates: Sequence[float] | None = None) -> dict[str, Any]:
        self.prepare(batches)
        self.model.reset_metrics()
        variables = self._variables()
        state = _values(variables)
        running: deque[Any] = deque()
        place = _place_of_learning_rate(self.model.optimizer)
        # Always passed, even if constant: a step without rates would be compiled in addition to that of a warm-up.
        rate = 0.0 if place is None else float(variables[2][place])
        done_steps = 0
        for count, stacked in stacks(batches, self._most):
            called = np.full(len(stacked[0]), rate, np.float32)
            if rates is not None:
                called[:count] = rates[done_steps : done_steps + count]
            done_steps += count
            state, done = self._train(state, count, stacked, called, place)
            running.append(done)
            if len(running) > CALLS_AHEAD:
                running.popleft().block_until_ready()
        for group, values in zip(variables, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return self.model.get_metrics_result()

    def outputs(self, images: np.ndarray) -> np.ndarray:
        weights = _values((self.model.trainable_variables, self.model.non_trainable_variables))
        found = []
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = np.asarray(images[start : start + EVALUATION_BATCH])
            if start:
                # The last batch is padded: another length would be compiled separately.
                batch = np.pad(batch, [(0, EVALUATION_BATCH - len(batch)), *[(0, 0)] * (batch.ndim - 1)])
            found.append(self._predict(weights, batch))
        return np.concatenate([np.asarray(outputs) for outputs in found])[: len(images)]

    def _variables(self) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Returns the variables in the order of the state of Keras's stateless step."""
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _training_steps(self, state: Any, count: Any, stacked: Any, rates: Any, place: int | None) -> tuple[Any, Any]:
        """Trains on the first `count` batches of `stacked`; returns the state, and a scalar to wait for.

        Args:
            rates: learning rates of these batches, float32.
            place: index of the learning rate among the optimizer's variables; None: it has no such variable.
        """

        def step(index: Any, state: Any) -> tuple[list[Any], ...]:
            if place is not None:
                optimizer = list(state[2])
                optimizer[place] = rates[index]
                state = (*state[:2], optimizer, *state[3:])
            images, *rest = (array[index] for array in stacked)
            _, state = self.model.train_step(state, (self._scaled(images), *rest))
            return tuple(list(group) for group in state)

        single = stacked[0].shape[0] == 1
        return step(0, state) if single else jax.lax.fori_loop(0, count, step, state), count + 1

    def _prediction_step(self, weights: Any, images: Any) -> Any:
        outputs, _ = self.model.predict_step(weights, (self._scaled(images),))
        return outputs.astype(jnp.float32)

    def _scaled(self, images: Any) -> Any:
        return images.astype(jnp.float32) / 255 if self.interface.scaled else images


def stacks(batches: TrainingBatches, most: int) -> Iterator[tuple[int, Arrays]]:
    """Yields all batches in order as (count, stacked arrays of up to `most` batches, the first `count` of them valid).

    Stacks are smaller if they would exceed `BYTES_A_CALL`; a last batch of another size comes alone.
    """
    whole = len(batches) - (len(batches.order) != len(batches) * batches.plan.batch_size)
    most = max(1, min(most, BYTES_A_CALL // (batches.split.images[:1].nbytes * batches.plan.batch_size)))
    for start in range(0, whole, most):
        count = min(most, whole - start)
        arrays = [batches[start + index] for index in range(count)]
        # Padding, which is never used: another length would be compiled separately.
        yield count, tuple(np.stack([*same, *[same[0]] * (most - count)]) for same in zip(*arrays, strict=True))
    if whole < len(batches):
        yield 1, tuple(array[None] for array in batches[whole])


def _place_of_learning_rate(optimizer: keras.optimizers.Optimizer) -> int | None:
    """Returns the index of the learning rate among an optimizer's variables; None if it has no single rate variable."""
    rate = learning_rate_variable(optimizer)
    return next((place for place, variable in enumerate(optimizer.variables) if variable is rate), None)


def _values(variables: Sequence[Sequence[Any]]) -> tuple[list[Any], ...]:
    return tuple([variable.value for variable in group] for group in variables)
