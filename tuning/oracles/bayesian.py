"""Bayesian optimisation with a Gaussian process; every configuration is trained to the end.

Sources: Jones, Schonlau, Welch, "Efficient Global Optimization of Expensive Black-Box Functions", J. Global Optim. 13
(1998); McKay, Beckman, Conover, Technometrics 21 (1979) (Latin hypercube design). The model and its proposals are in
`tuning.oracles.search_model`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.oracles import candidates
from tuning.oracles.base import ReplayableOracle
from tuning.oracles.random import DEFAULT_TRIALS
from tuning.oracles.search_model import PENDING, Score, SearchModel, milestone, one_thread


class BayesianOracle(ReplayableOracle):
    """Maximises log expected improvement under a Gaussian process; pending trials are assumed to score as predicted.

    The space's defaults come first, then a Latin hypercube, then the model's proposals. Failed trials lower the
    expected improvement of similar configurations. No configuration is proposed twice.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_trials: how many trials to run.
        **settings: see `ReplayableOracle`.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective | str | None = None,
        *,
        max_trials: int = DEFAULT_TRIALS,
        **settings: Any,
    ) -> None:
        super().__init__(objective, max_trials=max_trials, **settings)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._model = SearchModel(self.seed, (self.max_epochs,), self._values_of)
        self._works: list[tuple[int, bool]] = []

    def _values_of(self, number: int) -> dict[str, Any]:
        return records.configuration(self.trials[f"{number:04d}"].hyperparameters.values)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return self.full_training(self.new_configuration())

    def draw(self, number: int) -> dict[str, Any] | None:
        self._model.follow(self.hyperparameters.space)
        embedding, initial = self._model.embedding, self._initial_points()
        if embedding.entries and number < initial:
            values = embedding.configuration(candidates.design_row(embedding, self.seed, number, initial))
            if not self.is_excluded(values):
                return values
        elif self._model.is_ready:
            with one_thread():
                posterior = self._model.posterior(self._pending())
                proposal = self._model.propose(number, posterior, self._model.known(), self.is_tried, self.affordable())
            if proposal is not None:
                return proposal.values
        return super().draw(number)

    def _initial_points(self) -> int:
        """Returns the number of trials before the model proposes configurations."""
        return max(3, min(len(self._model.embedding.entries) + 2, (self.max_trials or DEFAULT_TRIALS) // 3))

    def _pending(self) -> list[tuple[int, int]]:
        running = itertools.islice(reversed(self.ongoing_trials.values()), PENDING)
        return [(int(trial.trial_id), self.max_epochs) for trial in running]

    def recommended(self) -> str | None:
        """Returns the trial with the best expected score, because single scores are noisy."""
        self._model.follow(self.hyperparameters.space)
        if not self._model.is_ready:
            return super().recommended()
        known = self._model.known()
        with one_thread():
            expected = self._model.posterior().mean(self._model.ends(known))
        return f"{known[int(np.argmax(expected))]:04d}"

    def _ended(self, trial: Trial) -> None:
        number, completed = int(trial.trial_id), trial.status == TrialStatus.COMPLETED
        self._model.forget(number)  # its builder may have added values
        if completed:
            sign = 1.0 if self.objective.direction == "max" else -1.0
            self._model.scores.append(Score(number, 0, self.max_epochs, 1, sign * trial.score))
        self._works.append((number, completed))
        if milestone(1, len(self._works)) == len(self._works):
            self._model.set_works(self._works)

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._begin_anew()
        for trial_id in self.end_order:
            self._ended(self.trials[trial_id])


def build(
    objective: keras_tuner.Objective | str | None, *, factor: int, max_trials: int | None, **settings: Any
) -> BayesianOracle:
    """Builds the oracle of a row of `STRATEGIES`; `factor` is unused, since every training is a full one."""
    return BayesianOracle(objective, max_trials=DEFAULT_TRIALS if max_trials is None else max_trials, **settings)
