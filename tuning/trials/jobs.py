"""Entry point of this package: runs jobs given as JSON, and returns results as JSON, both validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tuning.core.errors import Outdated
from tuning.core.jobs import CountJob, DescribeJob, EnsembleJob, Entry, FinalJob, Job, RehearseJob, TrialJob
from tuning.core.workspace import Workspace
from tuning.trials import bases, runtime
from tuning.trials.count import count
from tuning.trials.discover_space import discover_space
from tuning.trials.ensemble import run_ensemble
from tuning.trials.final import run_final
from tuning.trials.rehearse import rehearse
from tuning.trials.spaces import loaded_space_digest
from tuning.trials.trial import run_trial

#: kind -> (record, function from that record to the record of its result)
JOBS: dict[str, tuple[type[Job], Callable[..., Any]]] = {
    "describe": (DescribeJob, discover_space),
    "count": (CountJob, count),
    "rehearse": (RehearseJob, rehearse),
    "trial": (TrialJob, run_trial),
    "final": (FinalJob, run_final),
    "ensemble": (EnsembleJob, run_ensemble),
}


def run_job(kind: str, payload: Mapping[str, Any], report: Callable[[Entry], None]) -> dict[str, Any]:
    """Runs one job, which may write files into its folders.

    Args:
        kind: a key of `JOBS`.
        payload: the job's record, as JSON.
        report: called with each new entry of a learning curve.

    Returns:
        The record of the result, as JSON.

    Raises:
        Outdated: the job was written by another version of this package, or the search space's code or the prepared
            data have changed since.
    """
    record, function = JOBS[kind]
    try:
        job = msgspec.convert(payload, record)
    except msgspec.ValidationError as error:
        raise Outdated(
            f"this worker does not understand a {kind!r} job: {error}",
            "let the search and all its workers use the same version of this package",
        ) from error
    if job.space_digest != loaded_space_digest(job.space):
        raise Outdated(
            f"the code of search space {job.space!r} was changed while it was in use",
            "put the code back and give the same command again, or begin anew with another --name or --fresh; in a "
            "notebook, reload the module or restart",
        )
    bases.use(job.base)
    runtime.configure(job.threads)
    runtime.keep_compiled(Workspace(Path(job.root)).compiled)
    return msgspec.to_builtins(function(job, report), enc_hook=plain)


def plain(value: Any) -> Any:
    """Converts a NumPy scalar, such as a choice that a builder took from an array, to a Python number."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} is no JSON")
