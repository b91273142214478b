"""Evaluates a saved and reopened model on the validation split, then once on the test split."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from tuning.core.files import replacing, write_text
from tuning.core.jobs import EnsembleJob, FinalJob, Input, RunResult
from tuning.dataset.store.arrays import Dataset
from tuning.dataset.store.sealed import TestOpening, open_test
from tuning.dataset.store.units import read_units
from tuning.trials.data import open_verified
from tuning.trials.fit import NotFinite, figures, predict
from tuning.trials.mistakes import worst_mistakes
from tuning.trials.published import summary, weights_sha256
from tuning.trials.steps import KerasSteps

#: Number of images, and of repetitions, for measuring the time per image.
_TIMED, _REPEATED = 256, 3


def evaluate(job: FinalJob | EnsembleJob, steps: KerasSteps, dataset: Dataset, epoch: int, started: str) -> RunResult:
    """Evaluates the model of `steps`, and writes `model_summary.txt` and `predictions.npz` into the staging folder.

    Args:
        epoch: the epoch that the weights are of; for messages.
        started: when the job began, in ISO 8601.

    Raises:
        NotFinite: an image has no finite probabilities.
    """
    val, classes = dataset.val, len(dataset.info.classes)
    validated = predict(steps, val.images)
    if not np.isfinite(validated).all():
        raise NotFinite("predictions of validation images are NaN or infinite with the weights", epoch)
    opened = Path(f"{job.staging}.opened")
    opened.parent.mkdir(parents=True, exist_ok=True)
    # Marks that the test split may have been opened: a job that fails earlier has not opened it.
    write_text(opened, "")
    test = open_verified(job, lambda workspace: open_test(workspace, TestOpening(job.run_id, job.purpose)))
    probabilities = predict(steps, test.images)
    if not np.isfinite(probabilities).all():
        raise NotFinite("predictions of test images are NaN or infinite with the weights", epoch)
    staging = Path(job.staging)
    write_text(staging / "model_summary.txt", summary(steps.model))
    arrays = {
        "labels": test.labels,
        "probabilities": probabilities,
        "units": open_verified(job, lambda workspace: read_units(workspace, "test")),
        # The members of an ensemble are chosen by these.
        "val_labels": val.labels,
        "val_probabilities": validated,
        **worst_mistakes(test, probabilities),
    }
    with replacing(staging / "predictions.npz") as temporary:
        np.savez(temporary, **cast(Any, arrays))
    return RunResult(
        val={name.removeprefix("val_"): value for name, value in figures(validated, val.labels, classes).items()},
        parameters=int(steps.model.count_params()),
        weights_sha256=weights_sha256(steps.model),
        input=Input(
            image_size=dataset.info.image_size,
            color=dataset.info.color,
            scaling="0-1" if steps.interface.scaled else "0-255",
        ),
        output="logits" if steps.interface.logits else "probabilities",
        milliseconds=_milliseconds(steps, val.images[:_TIMED]),
        started=started,
        finished=now(),
    )


def now() -> str:
    """Returns the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _milliseconds(steps: KerasSteps, images: np.ndarray) -> float:
    """Measures the time per image with everything compiled: the shortest of several, least disturbed by other load."""
    taken = []
    for _ in range(_REPEATED):
        began = time.perf_counter()
        predict(steps, images)
        taken.append(time.perf_counter() - began)
    return round(1000 * min(taken) / len(images), 4)
