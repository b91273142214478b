"""Opens the prepared data of a job, and checks that they are those the job names."""

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
    """Returns the result of `opener` if the data are those that the job names.

    The digest is compared after opening: open files stay the same even if they are replaced later.

    Raises:
        Outdated: the data cannot be opened, or were prepared again since.
    """
    workspace = Workspace(Path(job.root))
    try:
        opened, digest = opener(workspace), read_info(workspace).digest
    except DataError as error:
        # For example while being replaced: a fault of the data must not count as one of the configuration.
        raise Outdated(error.problem, error.remedy) from error
    if job.data_digest != digest:
        raise Outdated(
            f"the data in {workspace.split} were prepared anew while they were in use",
            "prepare what was there before and give the same command again, or begin anew with another --name or "
            "--fresh",
        )
    return opened
