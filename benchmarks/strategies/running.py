"""One run of one method, in any process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.strategies.simulator import Run

#: Our methods: names in `STRATEGIES`, or such a name and its sampler.
OURS = ("hyperband", "hyperband-random", "bayesian", "random")


def run(
    name: str, task: str, seed: int, budgets: Sequence[int], workers: int, window: int, form: str = "shipped"
) -> Run:
    """Run a method on one form of a task; return its regret at each budget."""
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # trains nothing
    from benchmarks.strategies import problem as problems
    from benchmarks.strategies.ours import Ours
    from benchmarks.strategies.peers import PEERS
    from benchmarks.strategies.problem import EPOCHS, defaults
    from benchmarks.strategies.simulator import simulate

    problems.use_form(form)
    problem = problems.problem(task, form)
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
