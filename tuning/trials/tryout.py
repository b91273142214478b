"""Trains a space's default configuration for a few steps before a search, to check that this works reproducibly."""

from __future__ import annotations

import dataclasses
import tempfile

import msgspec
import numpy as np

from tuning.core import machine
from tuning.core.errors import UsageError
from tuning.core.jobs import DescribeJob, TrainingJob
from tuning.dataset.store.arrays import Dataset
from tuning.dataset.store.packing import ImageSplit
from tuning.trials.build import training_steps
from tuning.trials.checkpoint import TrainingState
from tuning.trials.fit import NotFinite, fit
from tuning.trials.plan import TrainingPlan
from tuning.trials.steps import KerasSteps

#: Number of batches per epoch of the tryout, and of validation images.
BATCHES, VALIDATED = 2, 16
#: Seed of the tryout; seeds of trials come from `keyed_seed`.
SEED = 0


def try_default(job: DescribeJob, dataset: Dataset) -> None:
    """Trains the default configuration for two short epochs, and the second epoch again as after an interruption.

    Raises:
        UsageError: the two results differ.
        Exception: any other error of the training.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        try:
            first = _Training(job, dataset, one)
            begun = first.until(1, None)
            straight = first.until(2, begun)
            again = _Training(job, dataset, other).until(2, begun)
        except NotFinite:
            return  # not a fault of the space: a trial reports it as its failure
    if _same(straight, again) or _never_the_same():
        return
    raise UsageError(
        f"search space {job.space!r} does not train in the same way twice: after an interruption, the default "
        f"configuration ends elsewhere{_suspects(first.steps)}",
        "draw random numbers from keras.random, with a keras.random.SeedGenerator that is an attribute of a layer or "
        "of the model, and keep what training counts or remembers in weights",
    )


class _Training:
    """The default configuration, built anew."""

    def __init__(self, job: DescribeJob, dataset: Dataset, checkpoints: str) -> None:
        own = {name: getattr(job, name) for name in job.__struct_fields__ if name != "discover"}
        self.job = TrainingJob(**own, values={}, seed=SEED, until=0, total_epochs=2, attempt=1, checkpoints=checkpoints)
        self.steps, hp = training_steps(self.job, SEED, dataset)
        self.plan = TrainingPlan.from_values(hp.values)
        few = _first(dataset.train, BATCHES * self.plan.batch_size)
        self.dataset = dataclasses.replace(dataset, train=few, val=_first(dataset.val, VALIDATED))

    def until(self, epochs: int, start: TrainingState | None) -> TrainingState:
        job = msgspec.structs.replace(self.job, until=epochs)
        return fit(self.steps, self.plan, self.dataset, job, start, lambda entry: None)


def _first(split: ImageSplit, count: int) -> ImageSplit:
    # Evenly spread over the split: its first images may all be of one class.
    places = np.unique(np.linspace(0, len(split) - 1, min(count, len(split))).astype(int))
    return ImageSplit(split.images[places], split.labels[places])


def _same(one: TrainingState, other: TrainingState) -> bool:
    pairs = [*zip(one.weights, other.weights, strict=True), *zip(one.optimizer, other.optimizer, strict=True)]
    return all(np.array_equal(left, right, equal_nan=left.dtype.kind == "f") for left, right in pairs)


def _never_the_same() -> bool:
    """Returns whether rounding may differ between compilations on this machine, whatever the builder."""
    import keras

    return keras.backend.backend() == "jax" and bool(machine.gpus())


def _suspects(steps: KerasSteps) -> str:
    names = [*steps.randomness.foreign, *steps.randomness.unkeyed]
    return f"; its training uses {', '.join(names)}" if names else ""
