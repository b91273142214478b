"""Trains configurations from rung to rung within a limit on epochs or trials, and ends the search.

A configuration is trained by a first trial and by the trials that continue it; it is paused at each rung until the
strategy continues it. A subclass decides which trial comes next. When the limit is nearly reached, the search closes
with a last trial that trains the best unfinished configuration to the end.
"""

from __future__ import annotations

import bisect
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.oracles import rungs
from tuning.oracles.base import EPOCHS, INITIAL_EPOCH, PARENT, ROUND
from tuning.oracles.halving import HalvingOracle

#: Number of best paused configurations per rung that may be continued; checkpoints of others need not be kept.
KEPT = 32


@dataclass
class Configuration:
    """A configuration whose training has begun.

    Attributes:
        number: from 0, in order of their first trials.
        last: id of its latest trial.
        rung: the highest rung that it has reached; -1 before the first.
        score: its score at that rung, larger is better; 0 before the first.
        running: whether a trial of it is running.
        over: whether it cannot be continued: trained to the end, stopped early, or failed.
        failed: whether it failed.
    """

    number: int
    last: str
    rung: int = -1
    score: float = 0.0
    running: bool = True
    over: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Decision:
    """The next trial: trains a paused configuration, or a new one with `values`, up to `rung`."""

    rung: int
    paused: Configuration | None = None
    values: Mapping[str, Any] | None = None


class RungOracle(HalvingOracle):
    """Base class; a subclass defines `decide`, and may define `expected_finals`.

    `max_trials` limits the number of trials; without it, `iterations` limits the epochs to those of that many passes.

    Args:
        **settings: see `HalvingOracle`.

    Attributes:
        levels: epochs of the rungs, ascending.
        configurations: all configurations begun, by number.
    """

    def _begin_anew(self) -> None:
        self.levels = tuple(rung.epochs for rung in self.one_pass[0].rungs)
        self._epochs_allowed: int | None = None
        if self.max_trials is None and self.iterations is not None:
            self._epochs_allowed = rungs.total_epochs(self.one_pass) * self.iterations
        self.configurations: list[Configuration] = []
        self._configuration_of: dict[str, Configuration] = {}  # by the id of its latest trial
        # Per rung, (-score, number) of the configurations paused there, and of all that have reached it; best first.
        self._paused: list[list[tuple[float, int]]] = [[] for _ in self.levels]
        self._reached: list[list[tuple[float, int]]] = [[] for _ in self.levels]
        self._epochs_asked = 0
        self._closed = False

    # What subclasses define ----------------------------------------------------------------------------------------

    @abstractmethod
    def decide(self, number: int) -> Decision | None:
        """Decides what trial `number` trains; None if no trial can start before a result arrives. Changes nothing."""

    def expected_finals(self, configurations: list[Configuration]) -> list[float]:
        """Returns expected scores at the last rung; here, configurations at a higher rung rank first."""
        return [each.rung * 1e9 + each.score for each in configurations]

    # What subclasses use -------------------------------------------------------------------------------------------

    def paused(self, rung: int) -> Iterator[Configuration]:
        """Returns the best configurations paused at `rung`, at most `KEPT`, best first."""
        return (self.configurations[number] for _, number in self._paused[rung][:KEPT])

    def promotable(self) -> list[Configuration]:
        return [each for rung in range(len(self.levels)) for each in self.paused(rung)]

    def values_of(self, each: Configuration) -> dict[str, Any]:
        return records.configuration(self.trials[each.last].hyperparameters.values)

    # keras_tuner.Oracle --------------------------------------------------------------------------------------------

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self._closed or (not self.hyperparameters.space and self.ongoing_trials):
            # The space is empty until the first trial's builder has declared it.
            return self.nothing_new()
        if self.recorded is not None:
            decision: Decision | None = self._recorded_decision(self.recorded)
        else:
            decision = self._next(len(self.trials)) if self._affords(self.levels[0]) else None
            if decision is None or not self.has_room(decision):
                decision = self._last_decision()
        if decision is None:
            return self.nothing_new()
        self._closed = not self.has_room(decision)
        return self._begin(trial_id, decision)

    def _next(self, number: int) -> Decision | None:
        """Returns the next starting point, or, once all have been tried, the strategy's decision."""
        values = self.starting_point()
        return self.decide(number) if values is None else Decision(0, values=values)

    def _recorded_decision(self, recorded: Mapping[str, Any]) -> Decision:
        rung, parent = self.levels.index(recorded[EPOCHS]), recorded.get(PARENT)
        if parent is None:
            return Decision(rung, values=self.new_configuration())
        return Decision(rung, self._configuration_of[parent])

    def _last_decision(self) -> Decision | None:
        """Returns the last trial once no other is running: it trains the best unfinished configuration to the end."""
        if self.ongoing_trials:
            return None
        last, paused = len(self.levels) - 1, self.promotable()
        if paused:
            finals = self.expected_finals(paused)
            return Decision(last, paused[max(range(len(paused)), key=lambda index: (finals[index], -index))])
        if self._reached[last] and self._is_spent():
            return None
        values = self.new_configuration()
        return None if values is None else Decision(last, values=values)

    def cost(self, decision: Decision) -> int:
        """Returns the epochs that a decision trains."""
        return self.levels[decision.rung] - (0 if decision.paused is None else self.levels[decision.paused.rung])

    def has_room(self, decision: Decision) -> bool:
        """Returns whether the limit leaves room for a last trial, a training to the end, after this one."""
        return self._affords(self.cost(decision))

    def _affords(self, cost: int) -> bool:
        """Returns whether the limit leaves room for a last trial, a training to the end, after one of `cost` epochs.

        Room is left for the costliest continuation, from the first rung to the end.
        """
        if self.max_trials is not None:
            return len(self.trials) < self.max_trials - 1
        if self._epochs_allowed is None:
            return True
        return self._epochs_asked + cost + self.max_epochs - self.levels[0] <= self._epochs_allowed

    def _is_spent(self) -> bool:
        """Returns whether too few epochs are left for a full training from scratch."""
        return self._epochs_allowed is not None and self._epochs_asked + self.max_epochs > self._epochs_allowed

    def _begin(self, trial_id: str, decision: Decision) -> dict[str, Any]:
        paused = decision.paused
        values = dict(decision.values or {}) if paused is None else self.values_of(paused)
        values |= {EPOCHS: self.levels[decision.rung], INITIAL_EPOCH: 0, ROUND: decision.rung}
        if paused is not None:
            values |= {INITIAL_EPOCH: self.levels[paused.rung], PARENT: paused.last}
        self._started(trial_id, values)
        return {"status": TrialStatus.RUNNING, "values": values}

    def _started(self, trial_id: str, values: Mapping[str, Any]) -> None:
        parent = values.get(PARENT)
        if parent is None:
            each = Configuration(len(self.configurations), trial_id)
            self.configurations.append(each)
        else:
            each = self._configuration_of.pop(parent)
            waiting = self._paused[each.rung]
            del waiting[bisect.bisect_left(waiting, (-each.score, each.number))]
            each.last, each.running = trial_id, True
        self._configuration_of[trial_id] = each
        self._epochs_asked += values[EPOCHS] - values[INITIAL_EPOCH]

    def _ended(self, trial: Trial) -> None:
        each, rung = self._configuration_of[trial.trial_id], self.levels.index(trial.hyperparameters.values[EPOCHS])
        each.running = False
        if trial.status != TrialStatus.COMPLETED:
            each.over = each.failed = True
            # If the last trial failed, the next best configuration takes its place.
            self._closed = self._closed and not self.promotable()
            return
        scores = self._scores_by_epoch(trial)
        # The score after the last epoch, from which a longer training would continue: the best epoch's score would
        # favour curves that were lucky once or have begun to fall.
        each.score = scores[max(scores)]
        each.rung = rung
        each.over = self.levels[rung] == self.max_epochs or trial.trial_id in self.complete
        bisect.insort(self._reached[rung], (-each.score, each.number))
        if not each.over:
            bisect.insort(self._paused[rung], (-each.score, each.number))

    def _scores_by_epoch(self, trial: Trial) -> dict[int, float]:
        """Returns the objective after each reported epoch, with its sign set so that larger is better."""
        sign = 1.0 if self.objective.direction == "max" else -1.0
        history = trial.metrics.get_history(self.objective.name)
        return {observation.step: sign * float(observation.mean()) for observation in history}

    def continuable(self) -> set[str]:
        return {each.last for each in self.promotable()} | {
            trial.hyperparameters.values[PARENT]
            for trial in self.ongoing_trials.values()
            if PARENT in trial.hyperparameters.values
        }

    def planned(self) -> tuple[int | None, int | None]:
        """Returns (limit on trials, limit on epochs); the number without a limit depends on the results."""
        return self.max_trials, self._epochs_allowed

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "closed": self._closed}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._begin_anew()
        ends, ended = iter(self.end_order), set()
        for trial_id in self.start_order:
            values = self.trials[trial_id].hyperparameters.values
            while values.get(PARENT) is not None and values[PARENT] not in ended:
                ended.add(end := next(ends))
                self._ended(self.trials[end])
            self._started(trial_id, values)
        for trial_id in ends:
            self._ended(self.trials[trial_id])
        # A search that was closed reopens if its limit has been raised since.
        self._closed = state["closed"] and not self._affords(self.levels[0])
