"""Hyperband as in the paper: many short trainings, the best continued, in brackets that trade breadth for depth.

Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), Algorithm 1. The schedule and the promotion rule are in `tuning.oracles.rungs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.oracles import rungs
from tuning.oracles.base import BRACKET, EPOCHS, INITIAL_EPOCH, PARENT, ROUND
from tuning.oracles.halving import HalvingOracle


class PaperHyperbandOracle(HalvingOracle):
    """Promotes from complete rungs, so that the choice never depends on which trial happened to end first.

    While a rung waits for its last trials, the first rungs of the following brackets start. A failed trial frees its
    slot: see `rungs.Halving`. A promoted trial has `tuner/trial_id`, the trial from whose checkpoint it resumes.

    The plan is fitted to `max_trials`, so that even a small limit ends in trials of `max_epochs` epochs.

    Args:
        **settings: see `HalvingOracle`.
    """

    def _begin_anew(self) -> None:
        self._endless = self.iterations is None and self.max_trials is None
        passes = 1 if self._endless else self.iterations
        self._plan = tuple(rungs.plan(self.max_epochs, self.factor, self.min_epochs, passes, self.max_trials))
        self._planned_trials = rungs.total_trials(self._plan)
        self._begun = 0  # number of brackets started so far
        self._open: list[rungs.Halving] = []  # brackets that may start further trials
        self._waiting: set[rungs.Halving] = set()  # open brackets that cannot start a trial before the next result
        self._continuable: dict[rungs.Halving, set[str]] = {}  # cache, cleared when a bracket changes
        self._bracket_of: dict[str, rungs.Halving] = {}  # by the id of a running trial

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.hyperparameters.space and self.ongoing_trials:
            return self.nothing_new()  # the space is empty until the first trial's builder has declared it
        new: Mapping[str, Any] | None = None
        fresh = True
        # With a thousand workers, hundreds of brackets are open; nearly all of them wait.
        ready = (bracket for bracket in self._open if bracket not in self._waiting)
        for bracket in [*ready, self._upcoming()]:
            if bracket is None:
                break
            if bracket.next_step() is None:
                self._waiting.add(bracket)
                continue
            allowance = self._allowance(bracket)
            step = bracket.next_step(allowance, fresh)
            if step is not None and step.parent is None:
                new = self.new_configuration()
                fresh = new is not None
                if not fresh:
                    step = bracket.next_step(allowance, fresh)
            if step is not None:
                return self._begin(trial_id, bracket, step, new)
        return self.nothing_new()

    def continuable(self) -> set[str]:
        for bracket in self._open:
            if bracket not in self._continuable:
                self._continuable[bracket] = bracket.continuable()
        return set().union(*self._continuable.values())

    def planned(self) -> tuple[int | None, int | None]:
        return (None, None) if self._endless else (self._planned_trials, rungs.total_epochs(self._plan))

    def _begin(self, trial_id: str, bracket: rungs.Halving, step: rungs.Step, new: Mapping[str, Any] | None) -> dict:
        if bracket not in self._open:
            self._open.append(bracket)
            self._begun += 1
        bracket.start(trial_id, step)
        self._continuable.pop(bracket, None)
        self._bracket_of[trial_id] = bracket
        if step.parent is not None:
            new = records.configuration(self.trials[step.parent].hyperparameters.values)
        values = {
            **(new or {}),
            EPOCHS: step.epochs,
            INITIAL_EPOCH: step.initial_epoch,
            BRACKET: bracket.bracket.number,
            ROUND: step.rung,
        }
        if step.parent is not None:
            values[PARENT] = step.parent
        return {"status": TrialStatus.RUNNING, "values": values}

    def _upcoming(self) -> rungs.Halving | None:
        if self._begun >= len(self._plan) and not self._endless:
            return None
        return rungs.Halving(self._plan[self._begun % len(self._plan)], self.objective.direction)

    def _allowance(self, bracket: rungs.Halving) -> int | None:
        """Returns how many trials `max_trials` leaves for `bracket` besides those planned in all other brackets."""
        if self.max_trials is None:
            return None
        begun = rungs.total_trials(self._plan[: self._begun + (bracket not in self._open)])
        others = sum(other.reserved for other in self._open if other is not bracket)
        return self.max_trials - len(self.trials) - others - (self._planned_trials - begun)

    def _ended(self, trial: Trial) -> None:
        bracket = self._bracket_of.pop(trial.trial_id)
        bracket.tell(trial.trial_id, self._result(trial))
        self._waiting.discard(bracket)
        self._continuable.pop(bracket, None)
        if bracket.spent:
            self._open.remove(bracket)

    @staticmethod
    def _result(trial: Trial) -> float | None:
        return trial.score if trial.status == TrialStatus.COMPLETED else None

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        state["begun"] = self._begun
        state["brackets"] = [
            {"plan": self._plan.index(bracket.bracket), "asked": bracket.asked} for bracket in self._open
        ]
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        ended = {trial_id: self._result(self.trials[trial_id]) for trial_id in self.end_order}
        self._begin_anew()
        self._begun = state["begun"]
        for saved in state["brackets"]:
            bracket = rungs.Halving(self._plan[saved["plan"]], self.objective.direction)
            bracket.replay(saved["asked"], ended)
            self._open.append(bracket)
            for trial_ids in saved["asked"]:
                self._bracket_of.update({trial_id: bracket for trial_id in trial_ids if trial_id not in ended})
