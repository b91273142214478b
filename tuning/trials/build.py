"""Builds a model from a job's values and initialises it from a seed, for trials, finals and rehearsals."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.jobs import RehearseJob, TrainingJob, Values
from tuning.core.records import configuration
from tuning.dataset.store.arrays import Dataset
from tuning.trials import runtime
from tuning.trials.checkpoint import TrainingState, load_state
from tuning.trials.fit import check_outputs
from tuning.trials.precision import use_float32_outputs
from tuning.trials.spaces import build_model, interface, load_builder, mistake
from tuning.trials.steps import KerasSteps, steps_of, swap_layers

if TYPE_CHECKING:
    import keras
    from keras_tuner import HyperParameters

#: Error numbers that are not a builder's fault: no disk space, no file descriptors, no memory, a failing disk.
_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
)


def of_machine(error: BaseException) -> bool:
    """Returns whether an error raised while building is the machine's fault, not the builder's."""
    return isinstance(error, OSError) and error.errno in _MACHINE


def built(
    space: str, values: Values, seed: int, dtype_policy: str, dataset: Dataset
) -> tuple[keras.Model, HyperParameters]:
    """Builds a configuration from a seed; returns (model, hyperparameters) as the builder made them."""
    info = dataset.info
    runtime.begin_import()
    load_builder(space)
    runtime.begin_trial(seed, dtype_policy)
    return build_model(space, configuration(values), info.input_shape, len(info.classes))


def training_steps(job: TrainingJob | RehearseJob, seed: int, dataset: Dataset) -> tuple[KerasSteps, HyperParameters]:
    """Builds a job's configuration from a seed; returns (its fastest training steps, hyperparameters).

    Raises:
        UsageError: the builder fails for these values, also because it does not find a file or a host, or builds a
            model that cannot be trained.
        OSError: the machine failed while the builder ran.
    """
    try:
        model, hp = built(job.space, job.values, seed, job.dtype_policy, dataset)
    except OSError as error:
        if of_machine(error):
            raise
        raise mistake(job.space, error) from error
    use_float32_outputs(model)
    form = interface(model, job.space)
    check_outputs(model, form, job.space, dataset.val.images)
    swap_layers(model)
    return steps_of(model, form), hp


def start_state(job: TrainingJob) -> TrainingState | None:
    """Returns the checkpoint that a job resumes from: its own, else its parent's; None: it starts from scratch.

    If the parent's checkpoint is lost, its epochs are trained again with the same result: parent and child are the same
    configuration, trained from the same seed.
    """
    own = load_state(Path(job.checkpoints), ((one.after, one.since) for one in job.new_lengths))
    return own or (load_state(Path(job.parent)) if job.parent else None)
