"""Freeze-thaw: every configuration is trained a little at a time, and a model of all curves says which, and how long.

Sources: Swersky, Snoek, Adams, "Freeze-Thaw Bayesian Optimization" (arXiv:1406.3896, 2014) for the idea and the model
(see `tuning.oracles.curve_process`); Snoek, Larochelle, Adams, "Practical Bayesian Optimization of Machine Learning
Algorithms", NIPS 2012, section 3.2, for expected improvement per unit of cost; rungs as in successive halving (Li et
al. 2018), so that a trial is worth the building of its model.
"""

from __future__ import annotations

from typing import Any

import keras_tuner
import numpy as np
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from tuning import records
from tuning.oracles import candidates
from tuning.oracles.base import EPOCHS
from tuning.oracles.curve_process import CurveProcess, Observations, Prior, fit
from tuning.oracles.embedding import Embedding
from tuning.oracles.promoting import Chain, Decision, PromotingOracle

#: Trials before the model has a say, the defaults among them.
DESIGN = 4
#: Candidates of one suggestion: uniform ones, some around the best known, and more around the most promising.
UNIFORM, LOCAL, LAST_LOCAL = 300, 200, 100
CENTRES = 5
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 300, 150
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.1


class FreezeThawOracle(PromotingOracle):
    """Starts or continues what promises the largest expected improvement at the last rung per epoch left to train.

    Pending trials are believed to come out as expected. See `PromotingOracle` for the arguments.
    """

    def __init__(self, objective: keras_tuner.Objective | str | None = None, **settings: Any) -> None:
        super().__init__(objective, **settings)
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._embedding = Embedding([])
        self._entries = 0
        self._rows: dict[int, np.ndarray] = {}  # latent rows of the chains
        self._scores: list[tuple[int, int, float]] = []  # (chain, rung, score), as they were told
        self._fits: dict[int, np.ndarray] = {}  # scores at the fit -> parameters

    # The search ----------------------------------------------------------------------------------------------------

    def decide(self, number: int) -> Decision | None:
        self._follow_space()
        if number < DESIGN or len(self._scores) < 2 or not self._embedding.entries:
            values = self.new_configuration()
            return Decision(0, values=values) if values is not None else self._furthest()
        with self._libraries.limit(limits=1, user_api="blas"):
            return self._by_model(number)

    def draw(self, number: int) -> dict[str, Any] | None:
        """A row of the design while there is one, else a uniform draw."""
        self._follow_space()
        if number < DESIGN and self._embedding.entries:
            values = self._embedding.configuration(candidates.design_row(self._embedding, self.seed, number, DESIGN))
            if not self.is_tried(values):
                return values
        return super().draw(number)

    def observed(self, chain: Chain, rung: int, score: float | None) -> None:
        if score is not None:
            self._scores.append((chain.number, rung, score))

    def _furthest(self) -> Decision | None:
        chains = self.promotable()
        return Decision(chains[-1].rung + 1, chains[-1]) if chains else None

    def _by_model(self, number: int) -> Decision | None:
        model = self._model()
        best = self._best(model)
        chains = self.promotable()
        new = self._proposal(number, model, best)
        if not chains:
            values = self.new_configuration() if new is None else new[0]
            return None if values is None else Decision(0, values=values)
        left = self.max_epochs - np.array([self.levels[chain.rung] for chain in chains])
        gains = self._gain(model, self._points(chains), best) / left
        if new is not None and not self._continues(new[1] / self.max_epochs, float(gains.max())):
            return Decision(0, values=new[0])
        chain = chains[int(np.argmax(gains))]
        return Decision(chain.rung + 1, chain)

    def _continues(self, new: float, old: float) -> bool:
        """Whether a chain goes on that gains `old` an epoch, where a new one gains `new`."""
        return old >= new

    def _proposal(self, number: int, model: CurveProcess, best: float) -> tuple[dict[str, Any], float] | None:
        """The most promising untried configuration, and its gain."""
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        known = self._known_chains()
        mean, _ = model.predict(self._points(known))
        centres = np.array([self._row(known[index]) for index in np.argsort(-mean, kind="stable")[:CENTRES]])
        uniform = generator.random((UNIFORM, len(self._embedding.entries)))
        rows = np.vstack([uniform, candidates.around(self._embedding, centres, LOCAL, generator)])
        gains = self._gain_of_rows(model, rows, best)
        promising = rows[np.argsort(-gains, kind="stable")[:CENTRES]]
        nearby = candidates.around(self._embedding, promising, LAST_LOCAL, generator)
        rows = np.vstack([rows, nearby])
        gains = np.append(gains, self._gain_of_rows(model, nearby, best))
        for index in np.argsort(-gains, kind="stable"):
            values = self._embedding.configuration(rows[index])
            if not self.is_tried(values):
                return values, float(gains[index])
        return None

    # The model -----------------------------------------------------------------------------------------------------

    def _model(self) -> CurveProcess:
        """What is known and what is pending."""
        prior = Prior(self._points(self.chains[:1]).x.shape[1], self.levels)
        scores = np.array([score for _, _, score in self._scores])
        targets = standardised(scores)
        kept = self._kept(scores)
        model = CurveProcess(self._seen(kept), targets[kept], self._parameters(prior), prior)
        running = [chain for chain in self.chains if chain.running]
        return model.believing(self._pending(running)) if running else model

    def _parameters(self, prior: Prior) -> np.ndarray:
        """Fitted at a milestone of the number of scores: a function of what was told, in whatever process."""
        milestone = 2
        while (later := max(milestone + 1, int(milestone * GROWTH))) <= len(self._scores):
            milestone = later
        if milestone not in self._fits:
            scores = np.array([score for _, _, score in self._scores[:milestone]])
            chosen = np.unique(np.linspace(0, milestone - 1, min(milestone, FITTED)).astype(int))
            self._fits = {milestone: fit(self._seen(chosen), standardised(scores)[chosen], prior)}
        return self._fits[milestone]

    def _kept(self, scores: np.ndarray) -> np.ndarray:
        """Which scores the model knows: the best of the highest rungs, and an even spread of the others."""
        if len(scores) <= KNOWN:
            return np.arange(len(scores))
        rungs = np.array([rung for _, rung, _ in self._scores])
        order = np.lexsort((-scores, -rungs))
        others = np.sort(order[KNOWN // 2 :])
        spread = others[np.linspace(0, len(others) - 1, KNOWN - KNOWN // 2).astype(int)]
        return np.sort(np.append(order[: KNOWN // 2], spread))

    def _known_chains(self) -> list[Chain]:
        """Chains that centres are taken from: the best at each rung."""
        return [self.chains[number] for rung in self._reached for _, number in rung[:KNOWN]]

    def _best(self, model: CurveProcess) -> float:
        """The best expected score at the last rung."""
        return float(model.predict(self._points(self._known_chains()))[0].max())

    def _gain(self, model: CurveProcess, points: Observations, best: float) -> np.ndarray:
        return expected_improvement(*model.predict(points), best)

    def _gain_of_rows(self, model: CurveProcess, rows: np.ndarray, best: float) -> np.ndarray:
        count = len(rows)
        new = np.arange(count) + len(self.chains)
        last = np.full(count, len(self.levels) - 1)
        return self._gain(model, Observations(self._embedding.features(rows), new, last), best)

    def _seen(self, chosen: np.ndarray) -> Observations:
        told = [self._scores[index] for index in chosen]
        return self._observations([self.chains[number] for number, _, _ in told], [rung for _, rung, _ in told])

    def _pending(self, running: list[Chain]) -> Observations:
        rungs = [self.levels.index(self.trials[chain.last].hyperparameters.values[EPOCHS]) for chain in running]
        return self._observations(running, rungs)

    def _points(self, chains: list[Chain]) -> Observations:
        return self._observations(chains, [len(self.levels) - 1] * len(chains))

    def _observations(self, chains: list[Chain], rungs: list[int]) -> Observations:
        x = self._embedding.features(np.array([self._row(chain) for chain in chains]))
        return Observations(x, np.array([chain.number for chain in chains]), np.array(rungs))

    def _row(self, chain: Chain) -> np.ndarray:
        """(d,) latent row of a chain."""
        if chain.number not in self._rows:
            row = self._embedding.latent(self.values_of(chain))
            if chain.running:  # its builder may still add values
                return row
            self._rows[chain.number] = row
        return self._rows[chain.number]

    def _follow_space(self) -> None:
        if len(self.hyperparameters.space) != self._entries:
            self._entries = len(self.hyperparameters.space)
            self._embedding = Embedding(self.hyperparameters.space)
            self._rows, self._fits = {}, {}

    # What is recommended -------------------------------------------------------------------------------------------

    def worth(self, chains: list[Chain]) -> list[float]:
        """Expected scores at the last rung."""
        self._follow_space()
        if len(self._scores) < 2 or not self._embedding.entries:
            return super().worth(chains)
        with self._libraries.limit(limits=1, user_api="blas"):
            return self._model().predict(self._points(chains))[0].tolist()

    def recommended(self) -> str | None:
        """The trial whose configuration is expected to be best at the last rung, whatever it has been trained for."""
        chains = self._known_chains()
        if not chains:
            return None
        worth = self.worth(chains)
        return chains[max(range(len(chains)), key=lambda index: (worth[index], -index))].last


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores (n,) with mean 0 and deviation 1, those below the median drawn together: how bad matters little."""
    median = np.median(scores)
    scaled = (scores - median) / max(float(scores.max() - median), 1e-9)
    scaled = np.where(scaled < 0.0, -np.log1p(-2.0 * np.minimum(scaled, 0.0)) / 2.0, scaled)
    return (scaled - scaled.mean()) / (float(scaled.std()) or 1.0)


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """E[max(0, f - best)] of normal predictions, larger is better (Jones, Schonlau, Welch 1998, equation 15)."""
    z = (mean - best) / deviation
    return (mean - best) * ndtr(z) + deviation * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


def build(objective, **settings: Any) -> FreezeThawOracle:
    """The row of `STRATEGIES`."""
    return FreezeThawOracle(objective, **settings)
