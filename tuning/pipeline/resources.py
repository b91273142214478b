"""Where trials run. This may differ from one resume to the next without changing any result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuning.core import machine
from tuning.core.errors import UsageError
from tuning.core.options import RARE, USUAL, check_all, option
from tuning.engine.executors import EXECUTORS, seats

#: Observed deaths of one job before it counts as failed.
MAX_DEATHS = 2


@dataclass(frozen=True)
class Resources:
    """Where trials run.

    Attributes:
        executor: a name of `EXECUTORS`.
        workers: trials in parallel; None: one per usable core, or per GPU if there are any.
        ray_address: of a running Ray cluster, for the executor "ray"; None: RAY_ADDRESS, or "auto".
        ray_resources: what each trial requests; None: a CPU, and a share of the cluster's GPUs.
        ray_wait: seconds without room for any trial after which the search gives up; None: never.
        trial_timeout: seconds after which a trial is ended as failed; None: never.
        max_deaths: deaths of its process after which a trial counts as failed.

    Raises:
        UsageError: a number out of its range, or an option that the executor does not support.
    """

    executor: str = option(
        "local", "where trials run (default: local)", group=RARE, choices=tuple(EXECUTORS), fixed=False
    )
    workers: int | None = option(
        None,
        "number of trials to run in parallel (default: one per core, or per GPU if there are any)",
        group=USUAL,
        metavar="N",
        least=1,
        fixed=False,
    )
    ray_address: str | None = option(
        None,
        "with --executor ray: HOST:PORT of a running cluster, or auto (default: RAY_ADDRESS, or auto)",
        group=RARE,
        metavar="ADDRESS",
        fixed=False,
    )
    ray_resources: str | None = option(
        None,
        "with --executor ray: what each trial requests, such as CPU=1,GPU=0.5,memory=4g,NAME=1,label:KEY=VALUE; "
        "label:KEY=!VALUE keeps it off such nodes (default: CPU=1 and a share of the cluster's GPUs)",
        group=RARE,
        metavar="NAME=AMOUNT,…",
        fixed=False,
    )
    ray_wait: float | None = option(
        None,
        "with --executor ray: give up if the cluster has had no room for any trial for this long (default: wait)",
        group=RARE,
        metavar="SECONDS",
        least=1,
        fixed=False,
    )
    trial_timeout: float | None = option(
        None,
        "end a trial as failed after this long; final trainings have no limit (default: never)",
        group=RARE,
        metavar="SECONDS",
        least=1,
        fixed=False,
    )
    max_deaths: int = option(
        MAX_DEATHS,
        "count a trial as failed once its process has died this often, or once the whole search was killed six times "
        "as often during it without a new epoch (default: 2)",
        group=RARE,
        metavar="N",
        least=1,
        fixed=False,
    )

    def __post_init__(self) -> None:
        check_all(self)
        for flag, given in (
            ("--ray-address", self.ray_address),
            ("--ray-resources", self.ray_resources),
            ("--ray-wait", self.ray_wait),
        ):
            if given is not None and self.executor != "ray":
                raise UsageError(
                    f"{flag} is {given!r}, but --executor is {self.executor!r}",
                    f"add --executor ray, or leave {flag} out",
                )
        more = None if self.workers == 1 else self.workers
        for flag, number in (("--workers", more), ("--trial-timeout", self.trial_timeout)):
            if number is not None and self.executor == "inline":
                raise UsageError(
                    f"{flag} is {number:g}, but --executor inline runs one trial after the other, to its end, in the "
                    "command's own process",
                    f"use --executor local, or leave {flag} out",
                )
        seats.parse(self.ray_resources)

    def options(self) -> dict[str, Any]:
        """Returns the executor's arguments that follow from this, except the time limit."""
        if self.executor != "ray":
            return {"workers": self.count()}
        # The size of a cluster is known only once it is joined.
        request = seats.parse(self.ray_resources)
        return {"workers": self.workers, "address": self.ray_address, "request": request, "wait": self.ray_wait}

    def count(self) -> int:
        """Returns the number of workers."""
        return self.workers or len(machine.gpus()) or machine.usable_cores()
