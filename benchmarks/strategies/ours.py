"""Our strategies as a search drives them: in logical order, so that early results wait for their turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras_tuner

from benchmarks.strategies.problem import EPOCHS, keras_tuner_space
from benchmarks.strategies.simulator import Job
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, configuration
from tuning.engine.order import LogicalOrder
from tuning.oracles import STRATEGIES
from tuning.oracles.adapter import OracleSearch


class Ours:
    """Implements `Method` with a strategy of `STRATEGIES`.

    Args:
        name: of the strategy.
        seed: of the search.
        window: trials that may be proposed and still without a result.
        cost: returns the cost of an epoch of a configuration, which the result of a trial contains.
        **options: further arguments of the oracle.
    """

    def __init__(
        self, name: str, seed: int, window: int, cost: Callable[[dict[str, Any]], float], **options: Any
    ) -> None:
        row = STRATEGIES[name]
        if "iterations" in row.options:
            options.setdefault("iterations", None)
        else:
            options.setdefault("max_trials", 10**6)
        self._row, self._options, self._seed, self._cost = row, options, seed, cost
        self.search = self._begin()
        self._order = LogicalOrder(window)
        self._waiting: list[tuple[float, TrialSpec]] = []  # (priority, trial) of proposed trials that no worker has yet
        self._results: dict[str, TrialOutcome] = {}
        self._history: list[TrialSpec | TrialOutcome] = []  # proposals and results in the order the strategy saw them

    def _begin(self) -> OracleSearch:
        return OracleSearch(
            self._row(
                keras_tuner.Objective("score", "max"),
                hyperparameters=keras_tuner_space(),
                max_epochs=EPOCHS,
                seed=self._seed,
                **self._options,
            )
        )

    def ask(self, worker: int) -> Job | None:
        self._fill()
        if not self._waiting:
            return None
        chosen = min(range(len(self._waiting)), key=lambda index: (self._waiting[index][0], index))
        _, spec = self._waiting.pop(chosen)
        return Job(spec.trial_id, configuration(spec.values), spec.initial_epoch, spec.epochs)

    def _fill(self) -> None:
        while not self._order.full:
            answer = self.search.ask()
            if not isinstance(answer, TrialSpec):
                return
            self._history.append(answer)
            end = self._order.ask(answer)
            self._waiting.append((self._order.priority(answer, end), answer))

    def tell(self, job: Job, scores: list[float]) -> None:
        curve = tuple({"epoch": epoch, "score": score} for epoch, score in enumerate(scores, start=1))
        self._results[job.key] = TrialOutcome(
            job.key, COMPLETED, max(scores), curve, cost=self._cost(job.configuration)
        )
        while len(self._order) and self._order.next().trial_id in self._results:
            spec = self._order.next()
            self._order.completed()
            outcome = self._results.pop(spec.trial_id)
            self._history.append(outcome)
            self.search.tell(outcome)

    def recommend(self) -> dict[str, Any] | None:
        """Return what a search would choose if it ended now, when results that wait for their turn are told at once."""
        search = self.search
        if self._results:
            search = self._begin()
            for event in self._history:
                if isinstance(event, TrialSpec):
                    search.ask(event)
                else:
                    search.tell(event)
            for spec in self._order:
                if spec.trial_id in self._results:
                    search.tell(self._results[spec.trial_id])
        chosen = search.oracle.recommended()
        return None if chosen is None else configuration(search.oracle.get_trial(chosen).hyperparameters.values)
