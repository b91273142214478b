"""The job that trains one configuration to be published, and evaluates it once on the test split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from tuning.core.jobs import Additions, Entry, FinalJob, FinalResult
from tuning.core.records import configuration
from tuning.dataset.store.arrays import Dataset, open_dataset
from tuning.dataset.store.units import read_units
from tuning.trials.additions import decide, none_for_logits
from tuning.trials.build import built, start_state, training_steps
from tuning.trials.checkpoint import TrainingState
from tuning.trials.data import open_verified
from tuning.trials.evaluation import evaluate, now
from tuning.trials.fit import NotFinite, fit, never_finite, predict
from tuning.trials.plan import TrainingPlan, best_score
from tuning.trials.published import check_as_trained, plain_model, save_and_open, with_additions
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps, steps_of


def run_final(job: FinalJob, report: Callable[[Entry], None]) -> FinalResult:
    """Trains one configuration, and evaluates the epoch that `chosen_epoch` selects, once, on the test split.

    With `parent`, training resumes from that trial of the search; if its checkpoint is missing, the same training
    starts from scratch. Evaluated is the published file, opened again: the model rebuilt in float32 with the weights of
    that epoch, without optimizer, loss and metrics, which may be the builder's own, and with those additions that
    improve the validation metrics. Writes `model.keras`, `model_summary.txt` and `predictions.npz` into `staging`.

    Raises:
        NotFinite: training diverged, no epoch could be validated, or an image has no finite probabilities.
        NotAsTrained: the predictions of the saved model differ from those of the trained one.
    """
    started = now()
    dataset = open_verified(job, open_dataset)
    steps, hp = training_steps(job, job.seed, dataset)
    plan = TrainingPlan.from_values(hp.values)
    state = fit(steps, plan, dataset, job, _start(job), report)
    if not state.chosen:
        raise never_finite(state.curve)
    opened = _saved(job, dataset, state.chosen, steps.interface)
    published, additions = _improved(job, opened, dataset, plan.flip, state.chosen_epoch)
    found = evaluate(job, published, dataset, state.chosen_epoch, started)
    return FinalResult(
        **msgspec.structs.asdict(found),
        curve=list(state.curve),
        seconds=list(state.seconds),
        best_epoch=state.chosen_epoch,
        values=configuration(hp.values),
        additions=additions,
    )


def _start(job: FinalJob) -> TrainingState | None:
    """Returns the checkpoint to resume from; None also if it is a trial's that lacks the weights of its best epoch."""
    start = start_state(job)
    if start is None or start.chosen:
        return start
    # Without any validated epoch, there was no best epoch to keep.
    return start if best_score([entry["val_f1_macro"] for entry in start.curve]) is None else None


def _saved(job: FinalJob, dataset: Dataset, weights: Sequence[np.ndarray], interface: Interface) -> KerasSteps:
    """Saves the trained network in float32 and opens it again; checks that its predictions are unchanged."""
    original, _ = built(job.space, job.values, job.seed, "float32", dataset)
    original.set_weights(list(weights))
    staging = Path(job.staging)
    staging.mkdir(parents=True, exist_ok=True)
    opened = steps_of(save_and_open(plain_model(original), staging / "model.keras"), interface)
    check_as_trained(steps_of(original, interface), opened, dataset.val.images)
    return opened


def _improved(
    job: FinalJob, opened: KerasSteps, dataset: Dataset, flip: bool, epoch: int
) -> tuple[KerasSteps, Additions]:
    """Adds to the network what improves the validation metrics; if there is anything, saves and opens it again."""
    if opened.interface.logits:
        return opened, none_for_logits()
    val = dataset.val
    plain = predict(opened, val.images)
    mirrored = predict(opened, np.ascontiguousarray(val.images[:, :, ::-1])) if flip else None
    if not np.isfinite(plain).all() or (mirrored is not None and not np.isfinite(mirrored).all()):
        raise NotFinite("predictions of validation images are NaN or infinite with the weights", epoch)
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.info.classes))
    units = open_verified(job, lambda workspace: read_units(workspace, "val"))
    additions = decide(val.labels, plain, mirrored, counts, units)
    better = with_additions(opened.model, additions, counts)
    if better is opened.model:
        return opened, additions
    return steps_of(save_and_open(better, Path(job.staging) / "model.keras"), opened.interface), additions
