"""Training one model epoch by epoch, with a checkpoint beside each; going on where a checkpoint left off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import TuningError, UsageError
from tuning.dataset.store.arrays import Dataset
from tuning.trials import runtime
from tuning.trials.averages import averaged
from tuning.trials.batches import TrainingBatches, as_input
from tuning.trials.checkpoint import Saver, TrainingState
from tuning.trials.ending import curve_end
from tuning.trials.metrics import PROBABILITY_SLACK, confusion_matrix, macro_f1
from tuning.trials.plan import (
    TrainingPlan,
    best_epoch,
    learning_rate_factor,
    next_stretch,
    should_stop,
    whole_epochs,
)
from tuning.trials.spaces import Interface
from tuning.trials.steps import Steps, build_optimizer


class NotFinite(TuningError):
    """The training or validation loss became NaN or infinite."""

    def __init__(self, epoch: int, name: str, value: float) -> None:
        super().__init__(f"{name} became {value} in epoch {epoch}", "a lower learning rate usually helps")
        self.epoch = epoch


@dataclass(frozen=True)
class FitSettings:
    """What a fit needs to know beside the model and the data.

    Attributes:
        until: train until this many epochs, or parts of an epoch, are done in total.
        total_epochs: the length that learning-rate schedules are laid out for.
        seed: the trial's seed.
        early_stopping: epochs without a better `val_f1_macro` after which training stops; None: never.
        reduce_lr: epochs without a better `val_loss` after which a constant rate is halved; None: never.
        keep_best: remember the weights of the best epoch (the last state always counts).
        slices: parts that an epoch has; see `plan.next_stretch`.
        stop_curves: stop where the curve has clearly ended; see `ending.curve_end`.
    """

    until: int
    total_epochs: int
    seed: int
    early_stopping: int | None = None
    reduce_lr: int | None = None
    keep_best: bool = False
    slices: int = 1
    stop_curves: bool = False


def fit(
    steps: Steps,
    plan: TrainingPlan,
    dataset: Dataset,
    settings: FitSettings,
    checkpoints: Path,
    attempt: int,
    start: TrainingState | None,
    report: Callable[[dict[str, Any]], None],
) -> TrainingState:
    """Trains the model of `steps` and returns its state after the last epoch.

    Args:
        start: the state to go on from; the model's weights and optimizer are set to it.
        report: called with the new entry of the curve after each epoch, whose checkpoint may still be being written.

    Raises:
        NotFinite: a loss became NaN or infinite.
    """
    model = steps.model
    base_rate = _base_learning_rate(model)
    build_optimizer(model)
    if start is not None:
        restore(model, start)
    state = start or TrainingState(0, (), (), (), ())
    classes = len(dataset.info.classes)
    with Saver(checkpoints, attempt) as saver:
        while state.epoch < settings.until:
            whole = whole_epochs(state.curve)
            if should_stop([entry["val_f1_macro"] for entry in whole], settings.early_stopping):
                break
            if settings.stop_curves and curve_end(whole, plan, settings.total_epochs, classes, settings.reduce_lr):
                break
            stretch, began = next_stretch(state.epoch, settings.slices), time.monotonic()
            epoch = stretch.done
            entry: dict[str, Any] = {"epoch": stretch.epochs}
            if base_rate is not None:
                losses = [e["val_loss"] for e in whole]
                factor = learning_rate_factor(plan, stretch.epochs, settings.total_epochs, losses, settings.reduce_lr)
                model.optimizer.learning_rate = entry["learning_rate"] = base_rate * factor
            batches = TrainingBatches(
                dataset.train, classes, plan, steps.feeding, settings.seed, stretch.number, stretch.part
            )
            steps.get_ready(batches)
            runtime.begin_epoch(model, settings.seed, epoch)
            entry |= _training_metrics(steps.train(batches))
            with averaged(model):
                entry |= validate(steps, dataset.val.images, dataset.val.labels, classes)
                best = _copies(model.weights) if settings.keep_best and _is_best(state, entry) else state.best
            for name in ("loss", "val_loss"):
                if not math.isfinite(entry[name]):
                    raise NotFinite(stretch.epochs, name, entry[name])
            state = TrainingState(
                epoch=epoch,
                curve=(*state.curve, entry),
                seconds=(*state.seconds, round(time.monotonic() - began, 3)),
                weights=_copies(model.weights),
                optimizer=_copies(model.optimizer.variables),
                best=best,
            )
            saver.save(state)
            report({**entry, "seconds": state.seconds[-1]})
    return state


def _is_best(state: TrainingState, entry: dict[str, Any]) -> bool:
    """Whether an epoch is the best so far, itself included."""
    scores = [e["val_f1_macro"] for e in (*state.curve, entry)]
    return best_epoch(scores) == len(scores)


def _copies(variables) -> tuple[np.ndarray, ...]:
    """Arrays that stay as they are while training goes on."""
    return tuple(np.asarray(variable).copy() for variable in variables)


def restore(model, state: TrainingState) -> None:
    """Sets weights and optimizer; the optimizer must be built, or Keras drops its variables in silence."""
    model.set_weights(list(state.weights))
    for variable, value in zip(model.optimizer.variables, state.optimizer, strict=True):
        variable.assign(value)


def _base_learning_rate(model) -> float | None:
    """The compiled learning rate; None where the builder compiled a schedule of its own, which then rules."""
    import keras

    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule):
        return None
    return float(model.optimizer.learning_rate)


def _training_metrics(logs: dict[str, Any]) -> dict[str, float]:
    """`loss`, and `accuracy` where the builder compiled any metric of that kind."""
    metrics = {"loss": float(logs["loss"])}
    # In order of their names, as Keras reports them, whichever steps these are from.
    accuracy = next(
        (name for name in sorted(logs, key=lambda name: (name != "accuracy", name)) if "acc" in name.lower()), None
    )
    if accuracy:
        metrics["accuracy"] = float(logs[accuracy])
    return metrics


def validate(steps: Steps, images, labels: np.ndarray, classes: int) -> dict[str, float]:
    """`val_loss` (mean cross-entropy, without smoothing or penalties), `val_accuracy` and `val_f1_macro`."""
    probabilities = predict(steps, images)
    truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), classes)
    return {
        "val_loss": float(-np.log(np.clip(truth, 1e-7, 1.0)).mean()),
        "val_accuracy": float(np.trace(matrix) / len(labels)),
        "val_f1_macro": float(macro_f1(matrix)),
    }


def check_outputs(model, interface: Interface, space: str, images: np.ndarray) -> None:
    """Refuses a model whose outputs are no probabilities although its loss takes them for some.

    Raises:
        UsageError: such a model; it would train, and no figure of it would mean anything.
    """
    import keras

    outputs = keras.ops.convert_to_numpy(model(as_input(images, interface), training=False)).astype(np.float32)
    if not interface.logits and (outputs.min() < 0 or np.abs(outputs.sum(axis=1) - 1).max() > PROBABILITY_SLACK):
        raise UsageError(
            f"search space {space!r}: the outputs of the model are not probabilities, but its loss expects them",
            "end the model in a softmax, or compile with a loss that has from_logits=True",
        )


def predict(steps: Steps, images) -> np.ndarray:
    """Class probabilities, float32 (n, classes)."""
    outputs = steps.outputs(images)
    if steps.interface.logits:
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs
