"""Where trials run: what may differ from one resume to the next without changing any result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuning.core import machine
from tuning.core.errors import UsageError
from tuning.core.options import RARE, USUAL, check_all, option
from tuning.engine.executors import EXECUTORS

#: Observed deaths of one job before it counts as failed.
MAX_DEATHS = 2


@dataclass(frozen=True)
class Resources:
    """Where trials run.

    Attributes:
        executor: a name of `EXECUTORS`.
        workers: trials at a time; None: one per usable core (per GPU, where there are any).
        ray_address: of a running Ray cluster, for the executor "ray"; None: RAY_ADDRESS, or "auto".
        trial_timeout: seconds after which a trial is given up; None: never.
        max_deaths: deaths of its process after which a configuration counts as failed.

    Raises:
        UsageError: a number out of its range, or an address for another executor.
    """

    executor: str = option(
        "local", "where trials run (default: local)", group=RARE, choices=tuple(EXECUTORS), fixed=False
    )
    workers: int | None = option(
        None,
        "trials at a time (default: one per core, or per GPU)",
        group=USUAL,
        metavar="N",
        least=1,
        fixed=False,
    )
    ray_address: str | None = option(
        None,
        "with --executor ray: host:port of a running cluster, or auto (default: RAY_ADDRESS, or auto)",
        group=RARE,
        metavar="ADDRESS",
        fixed=False,
    )
    trial_timeout: float | None = option(
        None,
        "give a trial up after this long; final trainings take the time they take (default: never)",
        group=RARE,
        metavar="SECONDS",
        least=1,
        fixed=False,
    )
    max_deaths: int = option(
        MAX_DEATHS,
        "deaths of its process that fail a configuration; the search killed six times that often during one trial, "
        "and no epoch gained, counts as much (default: 2)",
        group=RARE,
        metavar="N",
        least=1,
        fixed=False,
    )

    def __post_init__(self) -> None:
        check_all(self)
        if self.ray_address is not None and self.executor != "ray":
            raise UsageError(
                f"--ray-address is {self.ray_address!r}, but --executor is {self.executor!r}",
                "add --executor ray, or leave --ray-address out",
            )

    def options(self) -> dict[str, Any]:
        """What the executor is told of this, beside the time limit."""
        if self.executor != "ray":
            return {"workers": self.count()}
        # The size of a cluster is known only once it is joined.
        return {"workers": self.workers, "address": self.ray_address}

    def count(self) -> int:
        """Workers in numbers."""
        return self.workers or len(machine.gpus()) or machine.usable_cores()
