"""The job that counts the cost of configurations by building them, without training."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuning.core.errors import Interrupted
from tuning.core.jobs import CountJob, Counts, Entry
from tuning.dataset.store.arrays import open_dataset
from tuning.trials.build import built
from tuning.trials.cost import multiply_adds
from tuning.trials.data import open_verified


def count(job: CountJob, report: Callable[[Entry], None]) -> Counts:
    """Counts the multiply-adds of each configuration; None if it cannot be built, or if time is up before."""
    dataset = open_verified(job, open_dataset)
    until = time.monotonic() + job.seconds
    costs: list[int | None] = []
    for values in job.values:
        cost = None
        if not costs or time.monotonic() < until:
            try:
                cost = multiply_adds(built(job.space, values, 0, job.dtype_policy, dataset)[0])
            except Interrupted:
                raise
            except Exception:
                # A builder need not support every combination; in the search such a configuration is a failed trial.
                cost = None
        costs.append(cost)
    return Counts(costs=costs)
