"""The search loop's view of a Keras Tuner oracle: `ask` and `tell` over the frozen records, nothing of Keras Tuner."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine import hyperparameters as kt_hyperparameters
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.core.errors import StateError
from tuning.core.records import DONE, WAIT, Signal, TrialOutcome, TrialSpec
from tuning.oracles.base import EPOCHS, INITIAL_EPOCH, PARENT, ReplayableOracle


class OracleSearch:
    """Drives one oracle. What it answers depends on the order of the calls alone, and a WAIT or DONE changes nothing.

    Args:
        oracle: built by a row of `STRATEGIES`; it must not be used by anything else.
        parts: parts of an epoch that the oracle counts in, in place of epochs.
    """

    def __init__(self, oracle: ReplayableOracle, parts: int = 1) -> None:
        self.oracle = oracle
        self._parts = parts
        oracle.verbose = 0
        self._outstanding: set[str] = set()

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        """The next trial to run; WAIT until an outstanding one was told; DONE when nothing more will come.

        Args:
            recorded: the trial that was asked for here when the search was first run. Its configuration is taken, not
                computed again: a search of many trials is resumed at once, and goes on although a library now draws
                other numbers. Everything else is the oracle's own answer; whether both agree is for the caller to see.
        """
        self.oracle.recorded = recorded.values if recorded else None
        try:
            # Keras Tuner hands out one trial to each tuner at a time, so every trial gets a tuner of its own.
            trial = self.oracle.create_trial(f"trial-{len(self.oracle.trials)}")
        finally:
            self.oracle.recorded = None
        if trial.status == TrialStatus.STOPPED:
            return DONE
        if trial.status == TrialStatus.IDLE:
            if not self._outstanding:
                raise RuntimeError(f"{type(self.oracle).__name__} waits although no trial is outstanding")
            return WAIT
        self._outstanding.add(trial.trial_id)
        return self._spec(trial, self.oracle.expected_cost(trial.trial_id) if recorded is None else recorded.cost)

    def tell(self, outcome: TrialOutcome) -> None:
        """Reports what came of an outstanding trial.

        Its whole curve counts, the epochs of the trials it continued included, so that scores at the same number of
        epochs are comparable between brackets.

        Raises:
            StateError: the trial is not outstanding.
        """
        if outcome.trial_id not in self._outstanding:
            raise StateError(
                f"trial {outcome.trial_id} has a result but is not running", "start the search over with --fresh"
            )
        trial = self.oracle.get_trial(outcome.trial_id)
        declared = [kt_hyperparameters.deserialize(copy.deepcopy(entry)) for entry in outcome.space]
        trial.hyperparameters.merge(declared, overwrite=False)
        given, reached = trial.hyperparameters.values.get(EPOCHS, 0), self._steps(outcome)
        self.oracle.note(trial, outcome, complete=bool(reached) and max(reached) < given)
        self._report(outcome, trial)
        trial.status = TrialStatus.COMPLETED if outcome.status == records.COMPLETED else TrialStatus.FAILED
        trial.message = outcome.failure.message if outcome.failure else None
        self.oracle.end_trial(trial)
        self._outstanding.remove(outcome.trial_id)

    def close(self, promotions: int | None) -> None:
        """From now on no new configuration is proposed, and so many of the begun ones may be trained to the end.

        Args:
            promotions: None: there is time again, and new ones are proposed as before.
        """
        self.oracle.closing = promotions

    def recommended(self) -> str | None:
        """The first trial of the configuration that the oracle expects most of; None where there is none."""
        trial_id = self.oracle.recommended()
        return None if trial_id is None else self.oracle.root_of(trial_id)

    def continuable(self) -> set[str]:
        """Trials told whose last state a later trial may still go on from."""
        return self.oracle.continuable()

    def _report(self, outcome: TrialOutcome, trial: Trial) -> None:
        # The objective alone: the oracle decides by nothing else, and the other metrics are kept where the curve is.
        objective = self.oracle.objective.name
        scores = {step: row[objective] for step, row in self._steps(outcome).items() if row.get(objective) is not None}
        if not scores and outcome.score is not None:
            scores = {trial.hyperparameters.values.get(EPOCHS, 0): outcome.score}
        for epoch, score in scores.items():
            self.oracle.update_trial(trial.trial_id, {objective: score}, step=epoch)

    def _steps(self, outcome: TrialOutcome) -> dict[int, Mapping[str, Any]]:
        """Entries of the curve by the epochs, or parts of an epoch, that the oracle counts in."""
        return {round(row["epoch"] * self._parts): row for row in outcome.curve}

    def _spec(self, trial: Trial, cost: float | None) -> TrialSpec:
        values = dict(trial.hyperparameters.values)
        return TrialSpec(
            trial_id=trial.trial_id,
            values=values,
            epochs=values.get(EPOCHS),
            initial_epoch=values.get(INITIAL_EPOCH, 0),
            continues=values.get(PARENT),
            root=self.oracle.root_of(trial.trial_id),
            cost=cost,
        )
