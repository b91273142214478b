"""A simulated machine with some workers, on which trainings take their known run times, independent of the clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.strategies.problem import Problem


@dataclass(frozen=True)
class Job:
    """Train `configuration`, which has `first` epochs, to `last` epochs; `key` is the method's own name for the job."""

    key: Any
    configuration: dict[str, Any]
    first: int
    last: int


class Method(Protocol):
    """A strategy under test."""

    def ask(self, worker: int) -> Job | None:
        """Return a job for a free worker; None: there is none until another job ends."""

    def tell(self, job: Job, scores: list[float]) -> None:
        """Receive the scores of epochs 1 to `job.last` of a job that has ended."""

    def recommend(self) -> dict[str, Any] | None:
        """Return the configuration that the method would choose now; None: nothing has ended yet."""


@dataclass(frozen=True)
class Run:
    """The outcome of a simulation.

    Attributes:
        regrets: one at each budget.
        jobs: number of jobs started.
        own_seconds: processor time of the method itself.
    """

    regrets: list[float]
    jobs: int
    own_seconds: float


def simulate(
    method: Method,
    problem: Problem,
    budgets: Sequence[float],
    workers: int,
    duration: Callable[[Job], float],
    without: float,
) -> Run:
    """Simulate a method until the last budget is spent.

    Args:
        budgets: points in time, ascending, in the unit of `duration`.
        duration: returns the duration of a job.
        without: the regret while nothing has ended yet.
    """
    running: list[tuple[float, int, int, Job]] = []
    idle = list(range(workers))
    regrets: list[float] = []
    now, count, own = 0.0, 0, 0.0
    while True:
        began = time.process_time()
        for worker in list(idle):
            job = method.ask(worker)
            if job is not None:
                count += 1
                heapq.heappush(running, (now + duration(job), count, worker, job))
                idle.remove(worker)
        own += time.process_time() - began
        end = running[0][0] if running else float("inf")
        while len(regrets) < len(budgets) and budgets[len(regrets)] < end:
            began = time.process_time()
            choice = method.recommend()
            own += time.process_time() - began
            regrets.append(without if choice is None else problem.regret(choice))
        if len(regrets) == len(budgets):
            return Run(regrets, count, own)
        now, _, worker, job = heapq.heappop(running)
        idle.append(worker)
        scores = problem.scores(job.configuration)[: job.last].tolist()
        began = time.process_time()
        method.tell(job, scores)
        own += time.process_time() - began
