"""A machine with a few workers, on which trainings take the time that they are known to take. No clock is read."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.strategies.problem import Problem


@dataclass(frozen=True)
class Job:
    """Train `configuration` from `first` epochs to `last`; `key` is the method's own name for it."""

    key: Any
    configuration: dict[str, Any]
    first: int
    last: int


class Method(Protocol):
    """A strategy under test."""

    def ask(self, worker: int) -> Job | None:
        """A job for a worker that is free; None where there is none until another one ends."""

    def tell(self, job: Job, scores: list[float]) -> None:
        """A job is done; the scores of epochs 1 to `job.last`."""

    def recommend(self) -> dict[str, Any] | None:
        """The configuration it would choose now."""


@dataclass(frozen=True)
class Run:
    """Attributes: regrets: at each budget; jobs: done; own_seconds: processor time that the method itself took."""

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
    """Runs until the last budget is spent.

    Args:
        budgets: points of time, ascending, in the unit of `duration`.
        duration: of a job.
        without: the regret where nothing has ended yet.
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
