"""Opens the data that a job was meant for, or refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tuning.core.errors import DataError, Outdated
from tuning.core.jobs import Job
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info

T = TypeVar("T")


def open_verified(job: Job, opener: Callable[[Workspace], T]) -> T:
    """What `opener` opens, if the data are those that the job names.

    They are compared once it is open: what is open stays what it is, whatever is put in its place.
    """
    workspace = Workspace(Path(job.root))
    try:
        found, digest = opener(workspace), read_info(workspace).digest
    except DataError as error:
        # Half replaced, say: whatever is wrong with the data says nothing about a configuration.
        raise Outdated(error.problem, error.remedy) from error
    if job.data_digest != digest:
        raise Outdated(
            f"the data in {workspace.split} were prepared anew while they were in use",
            "prepare what was there before and give the same command again, or begin anew with another --name or "
            "--fresh",
        )
    return found
