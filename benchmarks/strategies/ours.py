"""Our strategies, as a search drives them: in logical order, results that come early wait."""

from __future__ import annotations

from collections import deque
from typing import Any

import keras_tuner

from benchmarks.strategies.problem import EPOCHS, keras_tuner_space
from benchmarks.strategies.simulator import Job
from tuning.engine.order import LogicalOrder
from tuning.oracles import STRATEGIES
from tuning.oracles.adapter import OracleSearch
from tuning.records import COMPLETED, TrialOutcome, TrialSpec, configuration


class Ours:
    """A row of `STRATEGIES`.

    Args:
        name: of the row.
        seed: of the search.
        window: trials asked for and not yet told.
        **options: more arguments of the oracle.
    """

    def __init__(self, name: str, seed: int, window: int, **options: Any) -> None:
        row = STRATEGIES[name]
        if "iterations" in row.options:
            options.setdefault("iterations", None)
        else:
            options.setdefault("max_trials", 10**6)
        oracle = row(
            keras_tuner.Objective("score", "max"),
            hyperparameters=keras_tuner_space(),
            max_epochs=EPOCHS,
            seed=seed,
            **options,
        )
        self.search = OracleSearch(oracle)
        self._order = LogicalOrder(window)
        self._waiting: deque[TrialSpec] = deque()  # asked for, not yet begun
        self._results: dict[str, TrialOutcome] = {}

    def ask(self, worker: int) -> Job | None:
        self._fill()
        if not self._waiting:
            return None
        spec = self._waiting.popleft()
        return Job(spec.trial_id, configuration(spec.values), spec.initial_epoch, spec.epochs)

    def _fill(self) -> None:
        while not self._order.full:
            answer = self.search.ask()
            if not isinstance(answer, TrialSpec):
                return
            self._order.ask(answer)
            self._waiting.append(answer)

    def tell(self, job: Job, scores: list[float]) -> None:
        curve = tuple({"epoch": epoch, "score": score} for epoch, score in enumerate(scores, start=1))
        self._results[job.key] = TrialOutcome(job.key, COMPLETED, max(scores), curve)
        while len(self._order) and self._order.next().trial_id in self._results:
            spec = self._order.next()
            self._order.told()
            self.search.tell(self._results.pop(spec.trial_id))

    def recommend(self) -> dict[str, Any] | None:
        oracle = self.search.oracle
        chosen = oracle.recommended()
        return None if chosen is None else configuration(oracle.get_trial(chosen).hyperparameters.values)
