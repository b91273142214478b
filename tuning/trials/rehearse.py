"""The job that times a configuration over a few batches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from tuning.core.jobs import Entry, Rehearsal, RehearseJob
from tuning.dataset.store.arrays import open_dataset
from tuning.dataset.store.packing import ImageSplit
from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.build import training_steps
from tuning.trials.data import open_verified
from tuning.trials.fit import predict
from tuning.trials.plan import TrainingPlan

#: Number of batches per round, and the rounds: at most `MOST_ROUNDS`, until `SECONDS` have been timed.
BATCHES, MOST_ROUNDS, SECONDS = 4, 8, 0.5


def rehearse(job: RehearseJob, report: Callable[[Entry], None]) -> Rehearsal:
    """Times training on a few batches, after a first round that traces and compiles; the median round counts."""
    dataset = open_verified(job, open_dataset)
    began = time.monotonic()
    steps, hp = training_steps(job, 0, dataset)
    model, plan, classes = steps.model, TrainingPlan.from_values(hp.values), len(dataset.info.classes)
    train = _first(dataset.train, BATCHES * plan.batch_size)
    val = _first(dataset.val, EVALUATION_BATCH)

    def trained() -> float:
        start = time.monotonic()
        logs = steps.train(TrainingBatches(train, classes, plan, steps.batch_interface, 0, 1))
        float(logs["loss"])  # waits for a GPU that is still at work
        return time.monotonic() - start

    def validated() -> float:
        start = time.monotonic()
        predict(steps, val.images)
        return time.monotonic() - start

    trained(), validated()
    started = time.monotonic()
    rounds = [trained()]
    while len(rounds) < MOST_ROUNDS and sum(rounds) < SECONDS:
        rounds.append(trained())
    training = statistics.median(rounds) / len(train) * len(dataset.train)
    validation = validated() / len(val) * len(dataset.val)
    return Rehearsal(
        epoch_seconds=training + validation,
        start_seconds=started - began,
        checkpoint_bytes=sum(np.asarray(variable).nbytes for variable in [*model.weights, *model.optimizer.variables]),
        parameters=int(model.count_params()),
    )


def _first(split: ImageSplit, count: int) -> ImageSplit:
    return ImageSplit(split.images[:count], split.labels[:count])
