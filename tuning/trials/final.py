"""The job that trains one configuration to be published, and evaluates it once on the test split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tuning.core.files import replacing, write_text
from tuning.core.jobs import Entry, FinalJob, FinalResult, InputForm
from tuning.core.records import configuration
from tuning.dataset.store.arrays import Dataset, open_dataset
from tuning.dataset.store.sealed import TestOpening, open_test
from tuning.trials import runtime
from tuning.trials.build import built, start_state, training_steps
from tuning.trials.data import open_verified
from tuning.trials.fit import FitSettings, NotFinite, fit, never_finite, predict, validate
from tuning.trials.mistakes import worst_mistakes
from tuning.trials.plan import TrainingPlan, best_epoch
from tuning.trials.steps import steps_of

if TYPE_CHECKING:
    import keras


def run_final(job: FinalJob, report: Callable[[Entry], None]) -> FinalResult:
    """Trains one configuration and evaluates its best epoch, once, on the test split.

    With `parent`, it goes on from that trial of the search; without that state, the same training starts from scratch.
    The model that is evaluated is the one that is published: rebuilt in float32, with the weights of the epoch that was
    best on validation, and without optimizer, loss and metrics, which may be the builder's own. Writes `model.keras`,
    `model_summary.txt` and `predictions.npz` into `staging`.

    Raises:
        NotFinite: training diverged, or no epoch could be validated, or a test image has no finite probabilities.
    """
    started = _now()
    dataset = open_verified(job, open_dataset)
    steps, hp = training_steps(job, job.seed, dataset)
    settings = FitSettings(
        until=job.until,
        total_epochs=job.total_epochs,
        seed=job.seed,
        early_stopping=job.early_stopping,
        reduce_lr=job.reduce_lr,
        keep_best=True,
    )
    start = start_state(job)
    if start is not None and not start.best:
        start = None
    plan = TrainingPlan.from_values(hp.values)
    state = fit(steps, plan, dataset, settings, Path(job.checkpoints), job.attempt, start, report)
    best = best_epoch([entry["val_f1_macro"] for entry in state.curve])
    if best is None:
        raise never_finite(state.curve)

    model = _published_model(job, dataset, state.best)
    published = steps_of(model, steps.interface)
    validation = validate(published, dataset.val.images, dataset.val.labels, len(dataset.info.classes))
    opening = TestOpening(job.run_id, job.purpose)
    opened = Path(f"{job.staging}.opened")
    opened.parent.mkdir(parents=True, exist_ok=True)
    # What fails before this has opened nothing.
    write_text(opened, "")
    test = open_verified(job, lambda workspace: open_test(workspace, opening))
    probabilities = predict(published, test.images)
    if not np.isfinite(probabilities).all():
        raise NotFinite("predictions of test images are NaN or infinite with the weights", best)

    staging = Path(job.staging)
    staging.mkdir(parents=True, exist_ok=True)
    with replacing(staging / "model.keras") as temporary:
        model.save(temporary)
    write_text(staging / "model_summary.txt", _summary(model))
    arrays = {"labels": test.labels, "probabilities": probabilities, **worst_mistakes(test, probabilities)}
    with replacing(staging / "predictions.npz") as temporary:
        np.savez(temporary, **cast(Any, arrays))
    return FinalResult(
        curve=list(state.curve),
        seconds=list(state.seconds),
        best_epoch=best,
        val={name.removeprefix("val_"): value for name, value in validation.items()},
        parameters=int(model.count_params()),
        weights_sha256=weights_sha256(model),
        values=configuration(hp.values),
        input=InputForm(
            image_size=dataset.info.image_size,
            color="gray" if dataset.info.channels == 1 else "rgb",
            scaling="0-1" if steps.interface.scaled else "0-255",
        ),
        output="logits" if steps.interface.logits else "probabilities",
        started=started,
        finished=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def weights_sha256(model: keras.Model) -> str:
    """sha256 over the bytes of all weights in order; the states of random layers, which no prediction uses, apart."""
    result = hashlib.sha256()
    for variable in model.weights:
        if not runtime.is_seed_state(variable):
            result.update(np.ascontiguousarray(variable).tobytes())
    return result.hexdigest()


def _published_model(job: FinalJob, dataset: Dataset, weights: Sequence[np.ndarray]) -> keras.Model:
    import keras

    original, _ = built(job.space, job.values, job.seed, "float32", dataset)
    # Left out of the clone, then: plain Keras would refuse a file that names a metric or a loss it does not know.
    original.compiled = False
    model = keras.models.clone_model(original)
    if not type(model).__module__.startswith("keras."):
        # A custom class, with a training step of its own, say: what it computes is the graph.
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    model.set_weights(list(weights))
    return model


def _summary(model: keras.Model) -> str:
    """Keras's table of the layers, whole: its printer cuts it off at the width of whatever terminal it finds."""
    lines: list[str] = []
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        model.summary(print_fn=lambda text, line_break=True: lines.append(text), line_length=100)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(lines) + "\n"
