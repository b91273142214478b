"""What an oracle is told of its trials beside their scores. A plain `keras_tuner.Tuner` tells none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from keras_tuner.engine.hyperparameters import HyperParameter
from keras_tuner.engine.trial import Trial

from tuning.core import files, records
from tuning.oracles import space
from tuning.oracles.bounds import Bound
from tuning.oracles.saving import SavedOracle
from tuning.trials.plan import TrainingPlan

#: What every training looks at, whatever the builder does.
_ALWAYS = frozenset(TrainingPlan.__dataclass_fields__)


class NotingOracle(SavedOracle):
    """Base class of `ReplayableOracle`.

    Args:
        max_memory: bytes that a training may take; None: no limit.
        max_epoch_seconds: time that an epoch may take; None: no limit.
        sized: (configuration, bytes that training it takes at the least) of some that were counted beforehand.
        built: (configuration, names that its builder looked at) of some that were built beforehand. Of those that
            build the same model, one is proposed.

    Attributes:
        costs: trial id -> multiply-adds per image; of those that told it.
        infeasible: ids of trials that ended for want of memory or of time.
        complete: ids of trials whose training ended by itself before the epochs that it was given.
        bounds: what configurations must not exceed, by name: "memory", "seconds".
    """

    def __init__(
        self,
        *,
        max_memory: int | None = None,
        max_epoch_seconds: float | None = None,
        sized: Sequence[tuple[Mapping[str, Any], float]] = (),
        built: Sequence[tuple[Mapping[str, Any], Collection[str]]] = (),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.bounds = {"memory": Bound(max_memory), "seconds": Bound(max_epoch_seconds)}
        for values, amount in sized:
            self.bounds["memory"].note(values, amount)
        self.costs: dict[str, float] = {}
        self.infeasible: set[str] = set()
        self.complete: set[str] = set()
        #: Names that a builder and a training look at -> digests of their values, as given, in trials.
        self._read: dict[frozenset[str], set[str]] = {}
        #: The same of what was built beforehand, trial or not.
        self._built: dict[frozenset[str], set[str]] = {}
        for values, names in built:
            read = frozenset(names) | _ALWAYS
            self._built.setdefault(read, set()).add(_digest(values, read))

    def note(self, trial: Trial, outcome: records.TrialOutcome, complete: bool = False) -> None:
        """Notes down what strategies that can use it will ask for; `complete` as for the attribute of that name."""
        if complete:
            self.complete.add(trial.trial_id)
        if outcome.cost:
            self.costs[trial.trial_id] = outcome.cost
        values = records.configuration(trial.hyperparameters.values)
        if outcome.memory:
            self.bounds["memory"].note(values, outcome.memory)
        begun = trial.hyperparameters.values.get(records.RESERVED_PREFIX + "initial_epoch", 0)
        last = [row["epoch"] for row in outcome.curve[-2:]]
        if len(outcome.curve) - begun > 1 and len(outcome.seconds) > 1 and last[1] - last[0] == 1:
            # The shorter one: in the first of a process there is much to be built and compiled.
            self.bounds["seconds"].note(values, min(outcome.seconds[-2:]))
        if outcome.failure and outcome.failure.kind in records.INFEASIBLE:
            self.infeasible.add(trial.trial_id)

    def note_read(self, values: Mapping[str, Any], names: Collection[str]) -> None:
        """Notes down which names the builder of a trial looked at: others' values make no configuration another one.

        A builder that is given equal values for all that it read, and none for what it missed, takes the same way,
        reads nothing else, and ends with the same model.

        Args:
            values: what the builder was given, without what it declared besides.
        """
        read = frozenset(names) | _ALWAYS
        self._read.setdefault(read, set()).add(_digest(values, read))

    def _note_proposed(self, values: Mapping[str, Any]) -> None:
        """From now on, other configurations that are known to build what these values do are equal to a trial's."""
        for read, digests in self._built.items():
            if (digest := _digest(values, read)) in digests:
                self._read.setdefault(read, set()).add(digest)

    def most_read_first(self, entries: Sequence[HyperParameter]) -> list[HyperParameter]:
        """By how much of what is known depends on them, so that enumerating these finds soon that nothing is left."""
        times: Counter[str] = Counter()
        for read, digests in self._read.items():
            times.update(dict.fromkeys(read, len(digests)))
        return space.reordered(entries, times)

    @property
    def different(self) -> int:
        """How many configurations, each for all that differ in nothing that was read, are known to have been built."""
        return sum(map(len, self._read.values()))

    def _equal_by(self, values: Mapping[str, Any]) -> frozenset[str] | None:
        """The names by whose values these build what a trial has built; None where it is not known that they do."""
        return next((read for read, digests in self._read.items() if _digest(values, read) in digests), None)

    def get_state(self) -> dict[str, Any]:
        noted = {"infeasible": sorted(self.infeasible), "complete": sorted(self.complete)}
        noted["bounds"] = {name: bound.known for name, bound in self.bounds.items()}
        return {**super().get_state(), "costs": dict(self.costs), **noted}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.costs = dict(state.get("costs", {}))
        self.infeasible, self.complete = set(state.get("infeasible", ())), set(state.get("complete", ()))
        for name, known in state.get("bounds", {}).items():
            self.bounds[name] = Bound(self.bounds[name].limit)
            for values, amount in known:
                self.bounds[name].note(values, amount)


def _digest(values: Mapping[str, Any], read: Collection[str]) -> str:
    """Of the values that were read; a name that is read and not there is no value of it."""
    return files.digest({name: values[name] for name in read if name in values})
