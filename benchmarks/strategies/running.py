"""One run of one method, in whatever process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.strategies.simulator import Run

#: Rows of `STRATEGIES` that are compared.
OURS = ("hyperband", "hyperband-random", "bayesian", "random")
#: `auto` as `--from-search` begins it, after a search of another task: the next in the list, for so many trainings.
AFTER_ANOTHER, TRAININGS = "auto-after-another", 10


def run(
    name: str, task: str, seed: int, budgets: Sequence[int], workers: int, window: int, form: str = "shipped"
) -> Run:
    """One method on one task in one form: what it came to at each budget."""
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # trains nothing
    from benchmarks.strategies import problem as problems
    from benchmarks.strategies.ours import Ours
    from benchmarks.strategies.peers import PEERS
    from benchmarks.strategies.problem import DEVELOPMENT, EPOCHS, REPORTED, defaults
    from benchmarks.strategies.simulator import simulate
    from tuning.pipeline.warm_start import TRIED

    problems.use_form(form)
    problem = problems.problem(task, form)
    if name == AFTER_ANOTHER:
        tasks = DEVELOPMENT if task in DEVELOPMENT else REPORTED
        other = problems.problem(tasks[(tasks.index(task) + 1) % len(tasks)], form)
        earlier = Ours("auto", seed, 1, other.cost)
        simulate(earlier, other, [float(TRAININGS * EPOCHS)], 1, lambda job: float(job.last - job.first), 0.0)
        method = Ours("auto", seed, window, problem.cost, first=earlier.best(TRIED))
    else:
        options: dict[str, Any] = {"chance": problem.chance} if name.startswith("hyperband") else {}
        if name == "hyperband-random":
            options["sampler"] = "random"
        strategy = name.removesuffix("-random")
        method = Ours(strategy, seed, window, problem.cost, **options) if name in OURS else PEERS[name].build(seed)
    if workers == 1:
        unit, duration = float(EPOCHS), lambda job: float(job.last - job.first)
    else:
        unit = EPOCHS * problem.epoch_seconds / workers
        duration = lambda job: problem.seconds(job.configuration, job.first, job.last)  # noqa: E731
    return simulate(
        method, problem, [budget * unit for budget in budgets], workers, duration, problem.regret(defaults())
    )
