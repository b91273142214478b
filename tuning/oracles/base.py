"""A `keras_tuner.Oracle` whose proposals depend on the seed and the order of asks and tells, and on nothing else.

What Keras Tuner 1.4.8 does differently, and why this class overrides it:

- seed 0 means a random seed, and draws come from a counter that every collision moves: here each draw is keyed by
  (seed, number of the trial, attempt), so there is no random state to save or to lose;
- a value missing from a trial is drawn from an unseeded generator: here it is the entry's default;
- `get_best_trials` compares scores after 1 and after 27 epochs and pads the list with failed trials.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import HyperParameter
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.core.errors import UsageError
from tuning.core.plan import CostLimit
from tuning.oracles import ranking, space
from tuning.oracles.affordable import Affordable
from tuning.oracles.lifecycle import TrialsOracle

EPOCHS = records.RESERVED_PREFIX + "epochs"
INITIAL_EPOCH = records.RESERVED_PREFIX + "initial_epoch"
PARENT = records.RESERVED_PREFIX + "trial_id"
BRACKET = records.RESERVED_PREFIX + "bracket"
ROUND = records.RESERVED_PREFIX + "round"

#: Keyed draws before a new configuration is looked for by enumeration.
DRAWS = 60
#: Configurations that enumeration looks at before it says that none is left.
ENUMERATED = 10_000


class ReplayableOracle(TrialsOracle):
    """Base class of all strategies; a subclass defines `populate_space` and may override `draw` and `_ended`.

    Works without a project directory (nothing is written then) and in a `keras_tuner.Tuner`, which sets one.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_epochs: epochs of a full training.
        max_trials: cap on the proposals; None for no cap.
        hyperparameters: the space, copied.
        seed: any integer; None draws one from the operating system.
        allow_new_entries: as for `keras_tuner.Oracle`.
        tune_new_entries: as for `keras_tuner.Oracle`.
        max_retries_per_trial: how often a trial that ended INVALID or without a finite objective is run again.
        max_consecutive_failed_trials: that many FAILED trials in a row raise RuntimeError; None never does.
        first: configurations to try right after the defaults, in this order; what one leaves out is at its default.
        limit: what is too expensive to be proposed; None: nothing is.

    Attributes:
        costs: trial id -> multiply-adds per image; of those that reported it.
        closing: once it is a number, no new configuration is proposed; so many of those begun may still be trained to
            the end, by strategies that pause trainings.
        complete: ids of trials whose training ended by itself before the epochs that it was given.

    Raises:
        UsageError: a number out of its range, or a value in `first`.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective | str | None = None,
        *,
        max_epochs: int = 100,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        seed: int | None = 0,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        limit: CostLimit | None = None,
    ) -> None:
        if max_epochs < 1:
            raise UsageError(
                f"the largest number of epochs must be at least 1, not {max_epochs}", "use --max-epochs 27"
            )
        if max_trials is not None and max_trials < 1:
            raise UsageError(f"a search needs at least 1 trial, not {max_trials}", "use --max-trials 1 or more")
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters.copy() if hyperparameters is not None else None,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=1,  # the base class would take a draw from the global generator for 0 or None
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = random.SystemRandom().randrange(2**31) if seed is None else int(seed)
        self.max_epochs = max_epochs
        self.first = tuple(dict(values) for values in first)
        self._check_first()
        self.limit = limit
        self._affordable: tuple[int, Affordable] | None = None  # entries of the space then
        #: The values that the next trial is known to have had, `tuner/…` included, while a journal is replayed.
        self.recorded: Mapping[str, Any] | None = None
        self.costs: dict[str, float] = {}
        self.complete: set[str] = set()
        self.closing: int | None = None

    def _check_first(self) -> None:
        entries: dict[str, list[Any]] = {}
        for entry in self.hyperparameters.space:
            entries.setdefault(entry.name, []).append(entry)
        for values in self.first:
            for name in values.keys() & entries.keys():
                if not any(space.accepts(entry, values[name]) for entry in entries[name]):
                    raise UsageError(
                        f"`first` has {name}={values[name]!r}", f"give a value of {entries[name][0].get_config()}"
                    )

    # What subclasses use -------------------------------------------------------------------------------------------

    def new_configuration(self) -> dict[str, Any] | None:
        """A configuration that no trial has had, those known to be good first; None where there is none left.

        None as well once the search is closing.
        """
        if self.closing is not None:
            return None
        if self.recorded is not None:
            # A promotion in its place says that there was none left.
            return None if PARENT in self.recorded else records.configuration(self.recorded)
        known = self.starting_point()
        return self.draw(len(self.trials)) if known is None else known

    def starting_point(self) -> dict[str, Any] | None:
        """What is tried before anything is drawn: the space's defaults, then `first`; None once all were.

        Those that were tried meanwhile are left out.
        """
        entries = self.hyperparameters.space
        if not self.trials:
            return space.defaults(entries)
        for given in self.first:
            values = space.fill(entries, partial(_given_or_default, given))
            if not self.is_tried(values):
                return values
        return None

    def draw(self, number: int) -> dict[str, Any] | None:
        """An untried configuration for trial `number`, uniform over what the search can pay for; None: none is left."""
        entries = self.hyperparameters.space
        for attempt in range(DRAWS):
            values = space.fill(entries, partial(self._drawn, number, attempt))
            if not self.is_excluded(values):
                return values
        enumerated = space.enumerate_configurations(
            entries, lambda entry, draw: self.uniform(number, entry, "enumerate", draw)
        )
        looked_at = itertools.islice(enumerated, ENUMERATED)
        return next((values for values in looked_at if not self.is_excluded(values)), None)

    def _drawn(self, number: int, attempt: int, entry: HyperParameter) -> Any:
        return space.value_at(entry, self.uniform(number, entry, attempt))

    def uniform(self, number: int, entry: HyperParameter, *key: object) -> float:
        """The number in [0, 1) that belongs to this trial, entry and key."""
        return records.keyed_seed(self.seed, "suggest", number, *key, entry.name) / 2**31

    def is_tried(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial has had these values; those of inactive hyperparameters are in neither."""
        return self._duplicate(values)

    def is_excluded(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial has had these values, or they cost more than the search can pay for."""
        affordable = self.affordable()
        return self.is_tried(values) or not (affordable is None or affordable.values(values))

    def affordable(self) -> Affordable | None:
        """What the search can pay for; None: everything."""
        if self.limit is None:
            return None
        entries = self.hyperparameters.space
        if self._affordable is None or self._affordable[0] != len(entries):
            self._affordable = len(entries), Affordable(self.limit, entries)
        return self._affordable[1]

    def full_training(self, values: dict[str, Any] | None) -> dict[str, Any]:
        """The answer of `populate_space` for a configuration trained to the end, or for none."""
        if values is None:
            return self.nothing_new()
        return {"status": TrialStatus.RUNNING, "values": {**values, EPOCHS: self.max_epochs, INITIAL_EPOCH: 0}}

    def nothing_new(self) -> dict[str, Any]:
        """The answer of `populate_space` when no trial can start: wait for those that run, or stop."""
        return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED}

    def note(self, trial: Trial, outcome: records.TrialOutcome, complete: bool = False) -> None:
        """Remembers what a trial reported beside its scores; `complete` as for the attribute of that name."""
        if complete:
            self.complete.add(trial.trial_id)
        if outcome.cost:
            self.costs[trial.trial_id] = outcome.cost

    def expected_cost(self, trial_id: str) -> float | None:
        """What an epoch of a trial will cost, in units of the first that was told; None where nothing is known."""
        return None

    def continuable(self) -> set[str]:
        """Trials that were told and whose last state a later trial may still go on from; others' can be deleted."""
        return set()

    def planned(self) -> tuple[int | None, int | None]:
        """(trials, epochs) that the search will take if nothing fails; None where a number is not known beforehand."""
        return (None, None) if self.max_trials is None else (self.max_trials, self.max_trials * self.max_epochs)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Finished trials with a finite score, longest trained first, one a configuration; never padded."""
        finished = [trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED]
        ranked = ranking.rank([self._ranked(trial) for trial in finished], self.objective.direction)
        return [self.trials[entry.trial_id] for entry in ranked[:num_trials]]

    def recommended(self) -> str | None:
        """The finished trial whose configuration should be trained to the end now; None where none has a score."""
        best = self.get_best_trials()
        return best[0].trial_id if best else None

    def _ranked(self, trial: Trial) -> ranking.RankedTrial:
        epochs = trial.hyperparameters.values.get(EPOCHS, 0)
        return ranking.RankedTrial(trial.trial_id, epochs, trial.score, self.root_of(trial.trial_id))

    def root_of(self, trial_id: str) -> str:
        """The first trial of the configuration that `trial_id` trains."""
        while (parent := self.trials[trial_id].hyperparameters.values.get(PARENT)) is not None:
            trial_id = parent
        return trial_id

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "costs": dict(self.costs), "complete": sorted(self.complete)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.costs, self.complete = dict(state["costs"]), set(state["complete"])


def _given_or_default(given: Mapping[str, Any], entry: HyperParameter) -> Any:
    return given.get(entry.name, entry.default)
