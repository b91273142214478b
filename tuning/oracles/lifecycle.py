"""The life of an oracle's trial: creation, reported metrics, end.

What Keras Tuner 1.4.8 does differently, and why this class overrides it:

- the lock is not released when a synchronized call raises, and every call takes time proportional to the number of
  trials so far;
- a retried trial is also scored on the metrics of earlier attempts, NaN is retried, and infinity can be the best score.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import files, records
from tuning.oracles import space
from tuning.oracles.saving import SavedOracle


class TrialsOracle(SavedOracle):
    """Base class of `ReplayableOracle`, which decides which trials there are."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._guard = threading.RLock()
        self._directions: dict[str, str] = {}

    def _ended(self, trial: Trial) -> None:
        """Called once a trial is COMPLETED (with a finite score) or FAILED for good."""

    def create_trial(self, tuner_id: str) -> Trial:
        with self._guard:
            if tuner_id in self.ongoing_trials:
                return self.ongoing_trials[tuner_id]
            self.tuner_ids.add(tuner_id)
            if self._retry_queue:
                trial = self._fresh_attempt(self.trials[self._retry_queue.pop(0)])
            else:
                trial = self._new_trial()
            if trial.status == TrialStatus.RUNNING:
                self.ongoing_trials[tuner_id] = trial
                self._save_trial(trial)
                self.save()
                self._display.on_trial_begin(trial)
            elif trial.status == TrialStatus.STOPPED:
                self.tuner_ids.discard(tuner_id)
            return trial

    def _new_trial(self) -> Trial:
        trial_id = f"{len(self.trials):04d}"
        if self.max_trials is not None and len(self.trials) >= self.max_trials:
            answer: dict[str, Any] = {"status": TrialStatus.STOPPED}
        else:
            answer = self.populate_space(trial_id)
        hyperparameters = space.shallow_copy(self.hyperparameters, answer.get("values") or {})
        trial = Trial(hyperparameters, trial_id=trial_id, status=answer["status"])
        if trial.status == TrialStatus.RUNNING:
            self._record_values(trial)
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
        return trial

    @staticmethod
    def _fresh_attempt(trial: Trial) -> Trial:
        blank = Trial(None, trial_id=trial.trial_id)
        trial.metrics, trial.score, trial.best_step, trial.message = blank.metrics, None, 0, None
        trial.status = TrialStatus.RUNNING
        return trial

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        with self._guard:
            trial = self.trials[trial_id]
            self._check_objective_found(metrics)
            for name, value in metrics.items():
                if not trial.metrics.exists(name):
                    self._register_metric(trial, name)
                # Not `trial.metrics.update`: it searches the whole history twice for every value.
                trial.metrics.metrics[name].update(float(value), step=step)
            self._save_trial(trial)
            return trial

    def _register_metric(self, trial: Trial, name: str) -> None:
        direction = self.objective.direction if name == self.objective.name else self._directions.get(name)
        # Given explicitly where known: Keras Tuner's own lookup goes through all metric classes of Keras.
        trial.metrics.register(name, direction=direction)
        self._directions[name] = trial.metrics.get_direction(name)

    def score_trial(self, trial: Trial) -> None:
        """Scores a trial with the best value of the objective over its steps; INVALID if any value is not finite."""
        history = trial.metrics.get_history(self.objective.name) if trial.metrics.exists(self.objective.name) else []
        means = {observation.step: float(observation.mean()) for observation in history}
        bad = next((step for step, value in means.items() if not math.isfinite(value)), None)
        if bad is not None or not means:
            trial.score = None
            trial.status = TrialStatus.INVALID
            name = self.objective.name
            trial.message = f"no {name} was reported" if bad is None else f"{name} was {means[bad]} at step {bad}"
            return
        choose = max if self.objective.direction == "max" else min
        trial.best_step = choose(means, key=lambda step: means[step])
        trial.score = means[trial.best_step]

    def end_trial(self, trial: Trial) -> None:
        """As `keras_tuner.Oracle.end_trial`.

        Raises:
            ValueError: the trial is not running.
            RuntimeError: new hyperparameters that are not allowed, or too many failures in a row.
        """
        with self._guard:
            slot = next((key for key, held in self.ongoing_trials.items() if held.trial_id == trial.trial_id), None)
            if slot is None:
                raise ValueError(f"trial {trial.trial_id} is not running")
            self.update_space(trial.hyperparameters)  # first, since it may raise: nothing has changed yet
            own = self.trials[trial.trial_id]
            own.hyperparameters, own.status, own.message = trial.hyperparameters, trial.status, trial.message
            if own.status == TrialStatus.COMPLETED:
                self.score_trial(own)
            self._record_values(own)
            self._run_times[own.trial_id] += 1
            retried = self._retry(own)
            if not retried:
                self.end_order.append(own.trial_id)
                self._ended(own)
            del self.ongoing_trials[slot]
            self._save_trial(own)
            self.save()
            self._display.on_trial_end(own)
            if not retried:
                self._check_consecutive_failures()

    def _check_consecutive_failures(self) -> None:
        limit = self.max_consecutive_failed_trials
        if limit is None or len(self.end_order) < limit:
            return
        last = [self.trials[trial_id] for trial_id in self.end_order[-limit:]]
        if all(trial.status == TrialStatus.FAILED for trial in last):
            raise RuntimeError(f"{limit} trials failed in a row, the last one with: {last[-1].message or 'no message'}")

    # Configurations that were tried --------------------------------------------------------------------------------

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        return files.digest(records.configuration(values))

    def _record_values(self, trial: Trial) -> None:
        # The hash of the proposed values is kept as well: a proposal never has the entries that its builder adds.
        space.ensure_active_values(trial.hyperparameters)
        self._id_to_hash[trial.trial_id] = self._compute_values_hash(trial.hyperparameters.values)
        self._tried_so_far.add(self._id_to_hash[trial.trial_id])
