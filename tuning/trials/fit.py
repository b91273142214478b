"""Trains one model epoch by epoch, with a checkpoint after each; resumes from a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import TuningError, UsageError
from tuning.core.jobs import Entry, TrainingJob
from tuning.core.records import epochs_of
from tuning.dataset.store.arrays import Dataset
from tuning.trials import runtime
from tuning.trials.averages import averaged
from tuning.trials.batches import TrainingBatches, as_input
from tuning.trials.checkpoint import Saver, TrainingState
from tuning.trials.ending import curve_end
from tuning.trials.keras_private import learning_rate_variable
from tuning.trials.metrics import PROBABILITY_SLACK, confusion_matrix, cross_entropy, macro_f1, softmax
from tuning.trials.plan import (
    TrainingPlan,
    chosen_epoch,
    laid_out,
    learning_rate_factor,
    next_part,
    should_stop,
    warmup_factors,
    whole_epochs,
)
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps, build_optimizer

if TYPE_CHECKING:
    import keras


#: Number of images whose outputs are checked before training.
CHECKED = 8


class NotFinite(TuningError):
    """Training has diverged: loss or weights are NaN or infinite, or no epoch could be validated.

    Args:
        what: what was not finite first, as a clause without the epoch.
        epoch: the epoch in which it happened, from 1.
    """

    def __init__(self, what: str, epoch: int) -> None:
        super().__init__(f"{what} in epoch {epoch}", "a lower learning rate usually helps")
        self.epoch = epoch


def fit(
    steps: KerasSteps,
    plan: TrainingPlan,
    dataset: Dataset,
    job: TrainingJob,
    start: TrainingState | None,
    report: Callable[[Entry], None],
) -> TrainingState:
    """Trains the model of `steps` and returns its state after the last epoch.

    Args:
        job: the training's length, checkpoint folder and other settings.
        start: the state to resume from; the model's weights and optimizer are set to it.
        report: called with the new entry of the curve after each epoch, while its checkpoint may still be written.

    A metric that is not finite is None in the curve: a validation that overflows, for example in bfloat16 or before
    batch normalisation has averaged enough batches, does not show that the next one will.

    Raises:
        NotFinite: the training loss is NaN or infinite, or validation metrics are because weights are.
    """
    model = steps.model
    base_rate = _base_learning_rate(model)
    build_optimizer(model)
    if start is not None:
        restore(model, start)
    state = first = start or TrainingState(0, (), (), (), ())
    classes = len(dataset.info.classes)
    changes = job.new_lengths
    total = job.total_epochs if job.parent else laid_out(job.total_epochs, changes)
    with Saver(Path(job.checkpoints), job.attempt) as saver:
        while state.epoch < job.until:
            whole = whole_epochs(state.curve)
            if should_stop([entry["val_f1_macro"] for entry in whole], job.early_stopping):
                break
            if job.stop_curves and curve_end(whole, plan, total, classes, job.reduce_lr):
                break
            part, began = next_part(state.epoch, job.parts), time.monotonic()
            entry: Entry = {"epoch": part.epochs}
            if base_rate is not None:
                losses = [e["val_loss"] for e in whole]
                factor = learning_rate_factor(plan, part.epochs, total, losses, job.reduce_lr, changes)
                model.optimizer.learning_rate = entry["learning_rate"] = base_rate * factor
            batches = TrainingBatches(
                dataset.train, classes, plan, steps.batch_interface, job.seed, part.epoch, part.subset
            )
            if state is first:
                runtime.begin_tracing(job.seed)
            steps.prepare(batches)
            if steps.randomness.unkeyed:
                runtime.begin_tracing(job.seed, part.done)
                steps.retrace(batches)
            runtime.begin_epoch(model, job.seed, part.done, steps.randomness.states)
            if state is first and steps.traces_late:
                runtime.begin_tracing(job.seed)
            rates = None
            if base_rate is not None:
                before = epochs_of(state.curve)
                factors = warmup_factors(plan, before, part.epochs, total, len(batches))
                rates = factors and [base_rate * factor for factor in factors]
            entry |= _training_metrics(steps.train(batches, rates), part.epoch, model)
            with averaged(model):
                entry |= figures(predict(steps, dataset.val.images), dataset.val.labels, classes)
                chosen, chosen_done = state.chosen, state.chosen_epoch
                if job.keep_chosen and _is_chosen(state, entry, len(dataset.val.labels)):
                    chosen, chosen_done = _copies(model.weights), part.done
            weights = _copies(model.weights)
            if entry["val_loss"] is None and not _all_finite(weights):
                raise NotFinite("weights became NaN or infinite", part.epoch)
            state = TrainingState(
                epoch=part.done,
                curve=(*state.curve, entry),
                seconds=(*state.seconds, round(time.monotonic() - began, 3)),
                weights=weights,
                optimizer=_copies(model.optimizer.variables),
                chosen=chosen,
                chosen_epoch=chosen_done,
            )
            saver.save(state)
            report({**entry, "seconds": state.seconds[-1]})
    return state


def never_finite(curve: Sequence[Entry]) -> NotFinite:
    """Returns the failure of a training none of whose epochs could be validated."""
    return NotFinite("there was still no finite val_f1_macro", math.ceil(epochs_of(curve)))


def _is_chosen(state: TrainingState, entry: Entry, images: int) -> bool:
    """Returns whether an epoch would be published if it were the last."""
    scores = [e["val_f1_macro"] for e in (*state.curve, entry)]
    return chosen_epoch(scores, images) == len(scores)


def _all_finite(arrays: Iterable[np.ndarray]) -> bool:
    # As float32: `np.isfinite` does not support bfloat16. The states of random layers are integers.
    return all(np.isfinite(array.astype(np.float32)).all() for array in arrays)


def _copies(variables: Iterable[Any]) -> tuple[np.ndarray, ...]:
    """Returns copies of the variables, which further training does not change."""
    return tuple(np.asarray(variable).copy() for variable in variables)


def restore(model: keras.Model, state: TrainingState) -> None:
    """Sets weights and optimizer; the optimizer must be built, since Keras would silently drop its variables."""
    model.set_weights(list(state.weights))
    for variable, value in zip(model.optimizer.variables, state.optimizer, strict=True):
        variable.assign(value)


def _base_learning_rate(model: keras.Model) -> float | None:
    """Returns the compiled learning rate; None if the builder compiled no single number, which is then left alone."""
    rate = learning_rate_variable(model.optimizer)
    return None if rate is None else float(rate)


def _training_metrics(logs: Mapping[str, Any], epoch: int, model: keras.Model) -> Entry:
    """Returns `loss`, and `accuracy` if the builder compiled such a metric under any name.

    Raises:
        NotFinite: the loss is NaN or infinite.
        UsageError: a step of the builder's own does not report it.
    """
    if "loss" not in logs:
        raise UsageError(
            f"the train_step of {type(model).__name__} returns {', '.join(sorted(logs)) or 'nothing'}, but no loss",
            'return the mean loss, too, by the name "loss"',
        )
    loss = float(logs["loss"])
    if not math.isfinite(loss):
        raise NotFinite(f"loss became {loss}", epoch)
    metrics: Entry = {"loss": loss}
    # Sorted by name, as Keras reports them, so that all implementations of steps agree.
    names = sorted(_accuracies(model).intersection(logs), key=lambda name: (name != "accuracy", name))
    if names:
        metrics["accuracy"] = _finite(logs[names[0]])
    return metrics


def _accuracies(model: keras.Model) -> set[str]:
    """Returns the names of the metrics that are the share of correct predictions, as `val_accuracy` is.

    Neither top-k nor binary accuracies are among them.
    """
    import keras

    kinds = (keras.metrics.SparseCategoricalAccuracy, keras.metrics.CategoricalAccuracy)
    found = [metric for group in model.metrics for metric in getattr(group, "metrics", None) or [group]]
    return {"accuracy", "acc", *(metric.name for metric in found if isinstance(metric, kinds))}


def _finite(value: Any) -> float | None:
    """Returns a metric for the curve: None if it is not finite."""
    number = float(value)
    return number if math.isfinite(number) else None


def figures(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> Entry:
    """Returns `val_loss` (mean cross-entropy, without smoothing or penalties), `val_accuracy` and `val_f1_macro`.

    All are None if any output is not finite: an image without probabilities has no predicted class.
    """
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_f1_macro"))
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), classes)
    return {
        "val_loss": cross_entropy(labels, probabilities),
        "val_accuracy": float(np.trace(matrix) / len(labels)),
        "val_f1_macro": macro_f1(matrix),
    }


def check_outputs(model: keras.Model, interface: Interface, space: str, images: np.ndarray) -> None:
    """Refuses a model whose loss expects probabilities but whose outputs are logits, or the other way round.

    Raises:
        UsageError: outputs and loss disagree; the model would train, but its metrics would be meaningless.
    """
    import keras

    few = as_input(images[:CHECKED], interface)
    first = model(few, training=False)
    if isinstance(first, Mapping):
        raise UsageError(
            f"search space {space!r}: the model puts its classes out in a dictionary",
            "return keras.Model(image, classes), with the output itself",
        )
    outputs = [
        keras.ops.convert_to_numpy(found).astype(np.float32) for found in (first, _outputs_of_other_weights(model, few))
    ]
    # Two untrained sigmoids also sum to about 1, but not with other weights.
    distance = max(float(np.abs(found.sum(axis=1) - 1).max()) for found in outputs)
    lowest = float(outputs[0].min())
    if interface.logits and lowest >= 0 and distance <= PROBABILITY_SLACK:
        raise UsageError(
            f"search space {space!r} compiles with from_logits=True, but the outputs of the model are probabilities",
            "leave out the softmax at the end of the model, or from_logits=True",
        )
    if not interface.logits and (lowest < 0 or distance > PROBABILITY_SLACK):
        raise UsageError(
            f"search space {space!r}: the outputs of the model are not probabilities, but its loss expects them",
            "end the model in a softmax, or compile with a loss that has from_logits=True",
        )


def _outputs_of_other_weights(model: keras.Model, images: np.ndarray) -> Any:
    """Returns the outputs as they would be with 1 added to the last trained weight, usually the bias of the outputs.

    The model itself is not changed.
    """
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    changed = [*trained[:-1], *(last + 1 for last in trained[-1:])]
    return model.stateless_call(changed, others, images, training=False)[0]


def predict(steps: KerasSteps, images: np.ndarray) -> np.ndarray:
    """Returns class probabilities, float32 (n, classes)."""
    outputs = steps.outputs(images)
    return softmax(outputs) if steps.interface.logits else outputs
