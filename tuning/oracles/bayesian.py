"""Bayesian optimisation: a Gaussian process proposes, every configuration is trained to the end.

Sources: Jones, Schonlau, Welch, "Efficient Global Optimization of Expensive Black-Box Functions", J. Global Optim. 13
(1998), equation 15 (expected improvement); McKay, Beckman, Conover, Technometrics 21 (1979) (Latin hypercube design);
`tuning.oracles.gaussian_process` for the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.oracles import candidates, gaussian_process
from tuning.oracles.acquisition import expected_improvement
from tuning.oracles.base import ReplayableOracle
from tuning.oracles.embedding import LAST, Embedding
from tuning.oracles.random import DEFAULT_TRIALS

#: Candidates of one suggestion: uniform ones and those around the best known; then again around the most promising.
UNIFORM_CANDIDATES = 300
LOCAL_CANDIDATES = 200
LOCAL_CENTRES = 5
#: Trials that the process knows at most: half of them the best, the others an even spread. Cubic cost.
KNOWN = 400


class BayesianOracle(ReplayableOracle):
    """Expected improvement over a Gaussian process; pending trials are believed to come out as expected.

    The space's defaults come first, then a Latin hypercube, then the model. Failed trials count as bad as the worst
    finished one, so that the model leaves their region. No configuration is proposed twice.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_trials: how many trials to run.
        num_initial_points: trials before the model proposes; None: 2 more than there are hyperparameters, at most a
            third of `max_trials`, at least 3.
        **settings: see `ReplayableOracle`.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective | str | None = None,
        *,
        max_trials: int = DEFAULT_TRIALS,
        num_initial_points: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(objective, max_trials=max_trials, **settings)
        self.num_initial_points = num_initial_points
        self._embedding = Embedding([])
        self._known: dict[str, np.ndarray] = {}  # latent rows of ended trials
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return self.full_training(self.new_configuration())

    def draw(self, number: int) -> dict[str, Any] | None:
        self._follow_space()
        if not self._embedding.entries:
            return super().draw(number)
        proposals = self._design(number) if number < self._initial_points() else self._model(number)
        untried = (values for values in proposals if not self.is_tried(values))
        return next(untried, None) or super().draw(number)

    def _follow_space(self) -> None:
        entries = self.hyperparameters.space
        if len(entries) != len(self._embedding._space):
            self._embedding = Embedding(entries)
            self._known = {}

    def _initial_points(self) -> int:
        if self.num_initial_points is not None:
            return self.num_initial_points
        return max(3, min(len(self._embedding.entries) + 2, self.max_trials // 3))

    def _design(self, number: int) -> Iterator[dict[str, Any]]:
        """Row `number` of a Latin hypercube: over the design, every entry takes each part of its range once."""
        count = self._initial_points()
        row = [
            (self._shuffled(entry.name, count)[number] + self.uniform(number, entry, "design")) / count
            for entry in self._embedding.entries
        ]
        yield self._embedding.configuration(np.minimum(row, LAST))

    def _shuffled(self, name: str, count: int) -> np.ndarray:
        return np.random.default_rng(records.keyed_seed(self.seed, "design", name)).permutation(count)

    def _model(self, number: int) -> Iterator[dict[str, Any]]:
        """Configurations in the order of their expected improvement; nothing while fewer than two trials ended."""
        ended, scores = self._observations()
        if len(scores) < 2:
            return
        pending = np.array([self._latent(trial) for trial in self.ongoing_trials.values()])
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        with self._libraries.limit(limits=1, user_api="blas"):
            rows = self._candidates(ended, scores, pending, generator)
        for candidate in rows:
            yield self._embedding.configuration(candidate)

    def _candidates(
        self, ended: np.ndarray, scores: np.ndarray, pending: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Latent rows (m, d), the most promising first."""
        features = self._embedding.features
        known = features(ended)
        kept = _kept(scores)
        process = gaussian_process.fit(known[kept], scores[kept])
        best = process.means().max()  # of the model, because single scores are noisy

        def gains_of(rows: np.ndarray) -> np.ndarray:
            return expected_improvement(*process.predict(features(rows)), best)

        if len(pending):
            process = process.with_pending(features(pending))
        centres = ended[np.argsort(-scores, kind="stable")[:LOCAL_CENTRES]]
        uniform = generator.random((UNIFORM_CANDIDATES, ended.shape[1]))
        rows = np.vstack([uniform, candidates.around(self._embedding, centres, LOCAL_CANDIDATES, generator)])
        gains = gains_of(rows)
        promising = rows[np.argsort(-gains, kind="stable")[:LOCAL_CENTRES]]
        nearby = candidates.around(self._embedding, promising, LOCAL_CANDIDATES, generator)
        gains = np.append(gains, gains_of(nearby))
        rows = np.vstack([rows, nearby])
        return rows[np.argsort(-gains, kind="stable")]

    def _observations(self) -> tuple[np.ndarray, np.ndarray]:
        """Latent rows (n, d) and scores (n,), larger is better, of the trials that ended, in the order they did."""
        sign = 1.0 if self.objective.direction == "max" else -1.0
        trials = [self.trials[trial_id] for trial_id in self.end_order]
        scores = [sign * trial.score if trial.status == TrialStatus.COMPLETED else None for trial in trials]
        finished = [score for score in scores if score is not None]
        if not finished:
            return np.empty((0, len(self._embedding.entries))), np.empty(0)
        worst = min(finished)
        rows = np.array([self._latent(trial) for trial in trials])
        return rows, np.array([worst if score is None else score for score in scores])

    def _latent(self, trial: Trial) -> np.ndarray:
        if trial.trial_id in self._known:
            return self._known[trial.trial_id]
        row = self._embedding.latent(trial.hyperparameters.values)
        if trial.status != TrialStatus.RUNNING:  # a running trial's builder may still add values
            self._known[trial.trial_id] = row
        return row

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "num_initial_points": self.num_initial_points}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.num_initial_points = state["num_initial_points"]
        self._embedding = Embedding([])
        self._known = {}


def _kept(scores: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the trials that the process knows."""
    if len(scores) <= KNOWN:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    best, others = order[: KNOWN // 2], np.sort(order[KNOWN // 2 :])
    return np.sort(np.append(best, others[np.linspace(0, len(others) - 1, KNOWN - len(best)).astype(int)]))


def build(
    objective: keras_tuner.Objective | str | None, *, factor: int, max_trials: int | None, **settings: Any
) -> BayesianOracle:
    """The row of `STRATEGIES`: every training is a full one, so there is no `factor` to use."""
    return BayesianOracle(objective, max_trials=DEFAULT_TRIALS if max_trials is None else max_trials, **settings)
