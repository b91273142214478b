"""Freeze-thaw: every configuration is trained a little at a time, and a model of all curves says which, and how long.

Sources: Swersky, Snoek, Adams, "Freeze-Thaw Bayesian Optimization" (arXiv:1406.3896, 2014) for the idea and the model
(see `tuning.oracles.curve_process`); Frazier, Powell, Dayanik, "The Knowledge-Gradient Policy for Correlated Normal
Beliefs", INFORMS J. Comput. 21 (2009), for what a training is worth: by how much it is expected to raise the best
expected score at the last rung (here between the trained configuration and the best other one alone); per epoch, as in
Wu, Toscano-Palmerin, Frazier, Wilson, "Practical Multi-fidelity Bayesian Optimization" (UAI 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np
from threadpoolctl import ThreadpoolController

from tuning import records
from tuning.files import digest
from tuning.oracles import candidates, flatness
from tuning.oracles.acquisition import Weights, expected_improvement, standardised
from tuning.oracles.base import EPOCHS, INITIAL_EPOCH
from tuning.oracles.cost_model import CostModel
from tuning.oracles.curve_process import CurveProcess, Observations, Prior, fit
from tuning.oracles.embedding import Embedding
from tuning.oracles.feasibility import Feasibility
from tuning.oracles.promoting import Chain, Decision, PromotingOracle

#: Trials before the model has a say, the defaults among them.
DESIGN = 7
#: Share of the epochs, at least, of trainings to the end: where short ones mislead, the model learns it there.
WHOLE = 1 / 3
#: Candidates of one suggestion: uniform ones, some around the best known, and more around the most promising.
UNIFORM, LOCAL, LAST_LOCAL = 300, 200, 100
CENTRES = 5
#: New configurations, and chains to go on with, for which is asked how far to train them.
PROPOSALS, CONTINUED = 20, 40
#: Chains that say what fits into memory and time, and what an epoch costs.
COUNTED = 600
#: Chains of each rung, the best by their scores there, among which the best at the last rung is looked for.
BEST = 60
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 300, 150
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.1


class FreezeThawOracle(PromotingOracle):
    """Starts or continues the training, up to whatever rung, whose result is expected to help most per epoch.

    Pending trials are believed to come out as expected. What is likely not to fit into memory or time is avoided.

    Args:
        objective: as for `keras_tuner.Oracle`.
        objective_per_cost: what a training is worth is divided by the expected cost of an epoch, too.
        **settings: see `PromotingOracle`.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective | str | None = None,
        *,
        objective_per_cost: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(objective, **settings)
        self.objective_per_cost = objective_per_cost
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._embedding = Embedding([])
        self._entries = 0
        self._rows: dict[int, np.ndarray] = {}  # latent rows of the chains
        self._scores: list[tuple[int, int, float]] = []  # (chain, rung, score), as they were told
        self._fits: dict[int, np.ndarray] = {}  # scores at the fit -> parameters
        self._to_the_end = 0  # epochs asked for of trainings up to the last rung

    # The search ----------------------------------------------------------------------------------------------------

    def decide(self, number: int) -> Decision | None:
        self._follow_space()
        if number < DESIGN or len(self._scores) < 2 or not self._embedding.entries:
            values = self.new_configuration()
            return Decision(0, values=values) if values is not None else self.next_best()
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

    def _next(self, number: int) -> Decision | None:
        """The defaults go to the end at once: one whole curve, of a configuration that is known to learn."""
        decision = super()._next(number)
        if number == 0 and decision is not None:
            return Decision(len(self.levels) - 1, values=decision.values)
        return decision

    def _started(self, trial_id: str, values: Mapping[str, Any]) -> None:
        super()._started(trial_id, values)
        if values[EPOCHS] == self.max_epochs:
            self._to_the_end += values[EPOCHS] - values[INITIAL_EPOCH]

    def observed(self, chain: Chain, rung: int, score: float | None) -> None:
        if score is not None:
            self._scores.append((chain.number, rung, score))

    def _by_model(self, number: int) -> Decision | None:
        model = self._model()
        known = self._known_chains()
        mean, deviation = model.predict(self._points(known))
        weights = self._weights()
        proposals = self._proposals(number, model, known, mean, weights)
        if self._to_the_end < WHOLE * self._epochs_asked:
            choices = self._endings(model, known, proposals, float(mean.max()), weights)
        else:
            choices = [
                *self._continuations(model, known, mean, deviation, weights),
                *self._beginnings(model, proposals, float(mean.max()), weights),
            ]
        self._promise(known, [row for row, _ in proposals], weights)
        if choices:
            return max(choices, key=lambda choice: choice[0])[1]
        values = self.new_configuration()
        return Decision(0, values=values) if values is not None else self.next_best()

    def _endings(
        self,
        model: CurveProcess,
        known: list[Chain],
        proposals: list[tuple[np.ndarray, dict[str, Any]]],
        best: float,
        weights: Weights,
    ) -> list[tuple[float, Decision]]:
        """(expected improvement per epoch, decision) of trainings to the end."""
        last = len(self.levels) - 1
        able = {chain.number for chain in self.promotable()}
        chains = [chain for chain in known if chain.number in able]
        paths: list[tuple[Observations, list[Decision]]] = []
        if chains:
            paths.append((self._points(chains), [Decision(last, chain) for chain in chains]))
        if proposals:
            decisions = [Decision(last, values=values) for _, values in proposals]
            paths.append((self._new_points(np.array([row for row, _ in proposals])), decisions))
        choices = []
        for points, decisions in paths:
            gains = expected_improvement(*model.predict(points), best) * weights.of(points.x)
            choices += [
                (float(gain) / self.cost(decision), decision)
                for gain, decision in zip(gains, decisions, strict=True)
                if self.has_room(decision)
            ]
        return choices

    def _continuations(
        self, model: CurveProcess, known: list[Chain], mean: np.ndarray, deviation: np.ndarray, weights: Weights
    ) -> list[tuple[float, Decision]]:
        """(gain per epoch, decision) of the chains that may go on, each to every rung above."""
        order = np.argsort(-mean, kind="stable")
        best, second = order[0], order[min(1, len(order) - 1)]
        able = {chain.number for chain in self.promotable()}
        promising = np.argsort(-(mean + deviation), kind="stable")
        chosen = [index for index in promising if known[index].number in able][:CONTINUED]
        if not chosen:
            return []
        points = self._points([known[index] for index in chosen])
        changes, weight = model.foresee(points), weights.of(points.x)
        choices = []
        for column, index in enumerate(chosen):
            # What is learned of the best helps where another one turns out to be better.
            other = mean[second] if index == best else mean[best]
            behind, chain = -abs(float(mean[index] - other)), known[index]
            for rung in range(chain.rung + 1, len(self.levels)):
                decision = Decision(rung, chain)
                if self.has_room(decision):
                    gain = float(expected_improvement(behind, changes[rung, column], 0.0) * weight[column])
                    choices.append((gain / self.cost(decision), decision))
        return choices

    def _beginnings(
        self, model: CurveProcess, proposals: list[tuple[np.ndarray, dict[str, Any]]], best: float, weights: Weights
    ) -> list[tuple[float, Decision]]:
        """(gain per epoch, decision) of new configurations, each begun up to every rung; the best for each rung."""
        if not proposals:
            return []
        points = self._new_points(np.array([row for row, _ in proposals]))
        mean, _ = model.predict(points)
        choices = []
        for rung, changes in enumerate(model.foresee(points)):
            gains = expected_improvement(mean, changes, best) * weights.of(points.x)
            decision = Decision(rung, values=proposals[int(np.argmax(gains))][1])
            if self.has_room(decision):
                choices.append((float(gains.max()) / self.cost(decision), decision))
        return choices

    def _proposals(
        self, number: int, model: CurveProcess, known: list[Chain], mean: np.ndarray, weights: Weights
    ) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """(latent row, configuration) of untried configurations that promise most at the last rung, best first."""
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        centres = np.array([self._row(known[index]) for index in np.argsort(-mean, kind="stable")[:CENTRES]])
        uniform = generator.random((UNIFORM, len(self._embedding.entries)))
        rows = np.vstack([uniform, candidates.around(self._embedding, centres, LOCAL, generator)])
        gains = self._gains(model, rows, mean.max(), weights)
        promising = rows[np.argsort(-gains, kind="stable")[:CENTRES]]
        nearby = candidates.around(self._embedding, promising, LAST_LOCAL, generator)
        rows = np.vstack([rows, nearby])
        gains = np.append(gains, self._gains(model, nearby, mean.max(), weights))
        found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
        for index in np.argsort(-gains, kind="stable"):
            values = self._embedding.configuration(rows[index])
            if not self.is_tried(values):
                found.setdefault(digest(values), (rows[index], values))
            if len(found) == PROPOSALS:
                break
        return list(found.values())

    def _gains(self, model: CurveProcess, rows: np.ndarray, best: float, weights: Weights) -> np.ndarray:
        points = self._new_points(rows)
        return expected_improvement(*model.predict(points), best) * weights.of(points.x)

    def _weights(self) -> Weights:
        """From the chains that have ended; what failed for another reason says nothing of memory or time."""
        ended = [
            chain for chain in self.chains if not chain.running and (not chain.failed or chain.last in self.infeasible)
        ]
        if not ended or not (self.objective_per_cost or self.infeasible):
            return Weights()
        chosen = [ended[index] for index in np.unique(np.linspace(0, len(ended) - 1, COUNTED).astype(int))]
        x = self._points(chosen).x
        chances = Feasibility(x, np.array([chain.last in self.infeasible for chain in chosen]))
        if not self.objective_per_cost:
            return Weights(chances)
        costs = np.array([self.costs.get(chain.last, math.nan) for chain in chosen])
        return Weights(chances, CostModel(x, costs, self.costs.get(self.start_order[0], math.nan)))

    def _promise(self, known: list[Chain], rows: list[np.ndarray], weights: Weights) -> None:
        """What the search may still gain, whether or not a pending trial will already have brought it."""
        if not self.stop_when_flat:
            return
        model = self._model(pending=False)
        best = float(model.predict(self._points(known))[0].max())
        paths = [self._points([chain for chain in known if not chain.over])] if self.promotable() else []
        paths += [self._new_points(np.array(rows))] if rows else []
        bounds = [flatness.bound(*model.predict(points), best) for points in paths]
        self.promise = max(bounds, default=0.0), model.seed_noise

    # The model -----------------------------------------------------------------------------------------------------

    def _model(self, pending: bool = True) -> CurveProcess:
        """What is known, and what is pending."""
        prior = Prior(self._points(self.chains[:1]).x.shape[1], self.levels)
        scores = np.array([score for _, _, score in self._scores])
        targets = standardised(scores)
        kept = self._kept(scores)
        model = CurveProcess(self._seen(kept), targets[kept], self._parameters(prior), prior)
        running = [chain for chain in self.chains if chain.running] if pending else []
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
        """The best at each rung."""
        numbers = dict.fromkeys(number for rung in self._reached for _, number in rung[:BEST])
        return [self.chains[number] for number in numbers]

    def _new_points(self, rows: np.ndarray) -> Observations:
        """Latent rows (n, d) of configurations that no trial has had, at the last rung."""
        numbers = np.arange(len(rows)) + len(self.chains)
        return Observations(self._embedding.features(rows), numbers, np.full(len(rows), len(self.levels) - 1))

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


def build(objective, **settings: Any) -> FreezeThawOracle:
    """The row of `STRATEGIES`."""
    return FreezeThawOracle(objective, **settings)
