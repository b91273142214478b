"""Adapts a Keras Tuner oracle to the search loop: `ask` and `tell` with frozen records, no Keras Tuner types."""

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
    """Drives one oracle. Its answers depend only on the order of the calls; returning WAIT or DONE changes no state.

    Args:
        oracle: built by a row of `STRATEGIES`; nothing else may use it.
        parts: parts per epoch, where the oracle counts parts of an epoch instead of epochs.
    """

    def __init__(self, oracle: ReplayableOracle, parts: int = 1) -> None:
        self.oracle = oracle
        self._parts = parts
        oracle.verbose = 0
        self._outstanding: set[str] = set()

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        """Returns the next trial to run; WAIT: first report an outstanding trial; DONE: the search is over.

        Args:
            recorded: during replay, the trial that the journal has at this point. Its configuration is used instead of
                being computed again: resuming a search of many trials is fast, and still works if a library now draws
                other numbers. Everything else is the oracle's own answer; the caller checks that both agree.
        """
        self.oracle.recorded = recorded.values if recorded else None
        try:
            # Keras Tuner gives each tuner id one trial at a time, so every trial gets its own tuner id.
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
        """Reports the outcome of an outstanding trial.

        Its whole curve is reported, including the epochs of the trials it continued, so that scores after the same
        number of epochs are comparable between brackets.

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
        epochs, steps = trial.hyperparameters.values.get(EPOCHS, 0), self._steps(outcome)
        self.oracle.note(trial, outcome, complete=bool(steps) and max(steps) < epochs)
        self._report(outcome, trial)
        trial.status = TrialStatus.COMPLETED if outcome.status == records.COMPLETED else TrialStatus.FAILED
        trial.message = outcome.failure.message if outcome.failure else None
        self.oracle.end_trial(trial)
        self._outstanding.remove(outcome.trial_id)

    def close(self, promotions: int | None) -> None:
        """Stops proposing new configurations.

        Args:
            promotions: how many paused configurations may still be trained to the end; None reopens the search, so
                that new configurations are proposed again.
        """
        self.oracle.closing = promotions

    def recommended(self) -> str | None:
        """Returns the first trial of the configuration that the oracle recommends; None if there is none."""
        trial_id = self.oracle.recommended()
        return None if trial_id is None else self.oracle.root_of(trial_id)

    def continuable(self) -> set[str]:
        """Returns the ended trials whose checkpoints later trials may still resume from."""
        return self.oracle.continuable()

    def _report(self, outcome: TrialOutcome, trial: Trial) -> None:
        # Only the objective: the oracle uses nothing else, and the curve is stored elsewhere with all metrics.
        objective = self.oracle.objective.name
        scores = {step: row[objective] for step, row in self._steps(outcome).items() if row.get(objective) is not None}
        if not scores and outcome.score is not None:
            scores = {trial.hyperparameters.values.get(EPOCHS, 0): outcome.score}
        for epoch, score in scores.items():
            self.oracle.update_trial(trial.trial_id, {objective: score}, step=epoch)

    def _steps(self, outcome: TrialOutcome) -> dict[int, Mapping[str, Any]]:
        """Returns the curve's entries by the oracle's unit of training: epochs, or parts of an epoch."""
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
