"""What an oracle is told of its trials beside their scores. A plain `keras_tuner.Tuner` tells none of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from keras_tuner.engine.trial import Trial

from tuning import files, records
from tuning.oracles.saving import SavedOracle


class NotingOracle(SavedOracle):
    """Base class of `ReplayableOracle`.

    Attributes:
        costs: trial id -> multiply-adds per image; of those that told it.
        infeasible: ids of trials that ended for want of memory or of time.
        complete: ids of trials whose training ended by itself before the epochs that it was given.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.costs: dict[str, float] = {}
        self.infeasible: set[str] = set()
        self.complete: set[str] = set()
        #: Names that trials read of their values, where they ignored others -> digests of what they read.
        self._read: dict[frozenset[str], set[str]] = {}

    def note(self, trial: Trial, outcome: records.TrialOutcome, complete: bool = False) -> None:
        """Notes down what strategies that can use it will ask for; `complete` as for the attribute of that name."""
        if complete:
            self.complete.add(trial.trial_id)
        if outcome.cost:
            self.costs[trial.trial_id] = outcome.cost
        if outcome.failure and outcome.failure.kind in records.INFEASIBLE:
            self.infeasible.add(trial.trial_id)

    def note_ignored(self, trial: Trial, ignored: Collection[str]) -> None:
        """Notes down that `trial` never looked at these of its values: they make no configuration another one.

        A builder that is given equal values for all that it read of this one takes the same way, reads nothing else,
        and ends with the same model.
        """
        values = records.configuration(trial.hyperparameters.values)
        read = frozenset(values.keys() - set(ignored))
        self._read.setdefault(read, set()).add(files.digest({name: values[name] for name in read}))

    def _equals_one(self, values: Mapping[str, Any]) -> bool:
        return any(
            read <= values.keys() and files.digest({name: values[name] for name in read}) in digests
            for read, digests in self._read.items()
        )

    def get_state(self) -> dict[str, Any]:
        noted = {"infeasible": sorted(self.infeasible), "complete": sorted(self.complete)}
        return {**super().get_state(), "costs": dict(self.costs), **noted}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.costs = dict(state.get("costs", {}))
        self.infeasible, self.complete = set(state.get("infeasible", ())), set(state.get("complete", ()))
