"""A `keras_tuner.Oracle` whose proposals depend only on the seed and on the order of proposals and results.

What Keras Tuner 1.4.8 does differently, and why this class overrides it:

- seed 0 means a random seed, and draws use a counter that every collision advances; here each draw is keyed by (seed,
  trial number, attempt), so there is no random state to save or lose;
- a value missing from a trial is drawn from an unseeded generator; here it is the hyperparameter's default;
- `get_best_trials` compares scores after 1 epoch with scores after 27, and pads the list with failed trials.
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

#: Random draws tried for an untried configuration before enumeration is used.
DRAWS = 60
#: Configurations that enumeration examines before concluding that none is left.
ENUMERATED = 10_000


class ReplayableOracle(TrialsOracle):
    """Base class of all strategies; a subclass defines `populate_space` and may override `draw` and `_ended`.

    Works without a project directory (then nothing is written) and in a `keras_tuner.Tuner`, which sets one.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_epochs: epochs of a full training.
        max_trials: limit on the number of trials; None for no limit.
        hyperparameters: the space; it is copied.
        seed: any integer; None draws one from the operating system.
        allow_new_entries: as for `keras_tuner.Oracle`.
        tune_new_entries: as for `keras_tuner.Oracle`.
        max_retries_per_trial: how often a trial that ended INVALID or without a finite objective is run again.
        max_consecutive_failed_trials: this many FAILED trials in a row raise RuntimeError; None: no limit.
        first: configurations to try right after the defaults, in this order; missing values are defaults.
        limit: the highest affordable cost; more expensive configurations are not proposed. None: no limit.

    Attributes:
        costs: trial id -> multiply-adds per image, for trials that reported them.
        closing: None while the search is open. A number closes it: no new configuration is proposed, and strategies
            that pause trainings may still train this many paused configurations to the end.
        complete: ids of trials whose training stopped early, before the epochs they were given.

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
        self._affordable: tuple[int, Affordable] | None = None  # with the number of entries it was fitted for
        #: During replay: the values of the next trial as the journal records them, `tuner/…` included.
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
        """Returns an untried configuration: starting points first, then draws.

        Returns None when no configuration is left or the search is closing.
        """
        if self.closing is not None:
            return None
        if self.recorded is not None:
            # The journal has a promotion here, so no new configuration was left.
            return None if PARENT in self.recorded else records.configuration(self.recorded)
        start = self.starting_point()
        return self.draw(len(self.trials)) if start is None else start

    def starting_point(self) -> dict[str, Any] | None:
        """Returns the next configuration to try before any is drawn: the space's defaults, then those of `first`.

        Skips configurations that have been tried meanwhile; returns None when all have been.
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
        """Draws an untried, affordable configuration for trial `number` uniformly; returns None when none is left."""
        entries = self.hyperparameters.space
        for attempt in range(DRAWS):
            values = space.fill(entries, partial(self._drawn, number, attempt))
            if not self.is_excluded(values):
                return values
        enumerated = space.enumerate_configurations(
            entries, lambda entry, draw: self.uniform(number, entry, "enumerate", draw)
        )
        examined = itertools.islice(enumerated, ENUMERATED)
        return next((values for values in examined if not self.is_excluded(values)), None)

    def _drawn(self, number: int, attempt: int, entry: HyperParameter) -> Any:
        return space.value_at(entry, self.uniform(number, entry, attempt))

    def uniform(self, number: int, entry: HyperParameter, *key: object) -> float:
        """Returns the number in [0, 1) keyed by the seed, the trial number, `key` and the entry's name."""
        return records.keyed_seed(self.seed, "suggest", number, *key, entry.name) / 2**31

    def is_tried(self, values: Mapping[str, Any]) -> bool:
        """Returns whether a trial had these values; inactive hyperparameters are not part of a configuration."""
        return self._duplicate(values)

    def is_excluded(self, values: Mapping[str, Any]) -> bool:
        """Returns whether a configuration was tried before or costs more than the search can afford."""
        affordable = self.affordable()
        return self.is_tried(values) or not (affordable is None or affordable.values(values))

    def affordable(self) -> Affordable | None:
        """Returns the predictor of affordable configurations; None: every configuration is affordable."""
        if self.limit is None:
            return None
        entries = self.hyperparameters.space
        if self._affordable is None or self._affordable[0] != len(entries):
            self._affordable = len(entries), Affordable(self.limit, entries)
        return self._affordable[1]

    def full_training(self, values: dict[str, Any] | None) -> dict[str, Any]:
        """Returns the answer of `populate_space` that trains `values` for `max_epochs`, or `nothing_new()` for None."""
        if values is None:
            return self.nothing_new()
        return {"status": TrialStatus.RUNNING, "values": {**values, EPOCHS: self.max_epochs, INITIAL_EPOCH: 0}}

    def nothing_new(self) -> dict[str, Any]:
        """Returns the answer of `populate_space` when no trial can start: wait for running trials, or stop."""
        return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED}

    def note(self, trial: Trial, outcome: records.TrialOutcome, complete: bool = False) -> None:
        """Records a trial's cost, and whether its training stopped early (see the attribute `complete`)."""
        if complete:
            self.complete.add(trial.trial_id)
        if outcome.cost:
            self.costs[trial.trial_id] = outcome.cost

    def expected_cost(self, trial_id: str) -> float | None:
        """Returns the expected cost of an epoch of a trial, relative to the first reported cost; None: unknown."""
        return None

    def continuable(self) -> set[str]:
        """Returns the ended trials whose checkpoints later trials may still resume from; others can be deleted."""
        return set()

    def planned(self) -> tuple[int | None, int | None]:
        """Returns (trials, epochs) of the search if nothing fails; None for a number that is not known beforehand."""
        return (None, None) if self.max_trials is None else (self.max_trials, self.max_trials * self.max_epochs)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns finished trials with a finite score, longest trained first, one per configuration; never padded."""
        finished = [trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED]
        ranked = ranking.rank([self._ranked(trial) for trial in finished], self.objective.direction)
        return [self.trials[entry.trial_id] for entry in ranked[:num_trials]]

    def recommended(self) -> str | None:
        """Returns the finished trial whose configuration should be trained to the end now; None if none has a score."""
        best = self.get_best_trials()
        return best[0].trial_id if best else None

    def _ranked(self, trial: Trial) -> ranking.RankedTrial:
        epochs = trial.hyperparameters.values.get(EPOCHS, 0)
        return ranking.RankedTrial(trial.trial_id, epochs, trial.score, self.root_of(trial.trial_id))

    def root_of(self, trial_id: str) -> str:
        """Returns the id of the first trial of the configuration that `trial_id` trains."""
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
