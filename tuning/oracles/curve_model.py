"""What strategies have in common that ask a model of all curves: the model, what it knows, and what it would try next.

The model is that of `tuning.oracles.curve_process`. Pending trials are believed to come out as expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.core.files import digest
from tuning.oracles import candidates
from tuning.oracles.acquisition import expected_improvement, standardised
from tuning.oracles.base import EPOCHS, PARENT
from tuning.oracles.cost_model import CostModel, with_fixed
from tuning.oracles.curve_process import CurveProcess, Observations, Prior, fit
from tuning.oracles.embedding import Embedding
from tuning.oracles.promoting import Chain, Decision, PromotingOracle

#: Trials before the model has a say, the defaults among them.
DESIGN = 7
#: Candidates of one suggestion: uniform ones, some around the best known, and more around the most promising.
UNIFORM, LOCAL, LAST_LOCAL = 300, 200, 100
CENTRES = 5
#: New configurations that a suggestion is chosen from.
PROPOSALS = 20
#: Power of a rung's correlation with the last one: 1 would be what selection gains, 2 what variance is explained.
TELLING = 1.5
#: Chains that say what an epoch costs.
COUNTED = 600
#: Chains of each rung, the best by their scores there, among which the best at the last rung is looked for.
LEADING = 60
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 300, 150
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.1


@dataclass(frozen=True)
class Outlook:
    """What the model of all curves says when something is to be decided.

    Attributes:
        model: with all that is pending believed.
        known: the best chains at each rung.
        mean, deviation: (n,) of the expected scores of `known` at the last rung.
        proposals: (latent row, configuration) of untried configurations that promise most at the last rung, best first.
    """

    model: CurveProcess
    known: list[Chain]
    mean: np.ndarray
    deviation: np.ndarray
    proposals: list[tuple[np.ndarray, dict[str, Any]]]

    @property
    def best(self) -> float:
        """The best expected score."""
        return float(self.mean.max())

    @property
    def rows(self) -> np.ndarray:
        """(n, d), latent, of the proposals."""
        return np.array([row for row, _ in self.proposals])


class CurveModelOracle(PromotingOracle):
    """Base class; a subclass may define `by_model`. A Latin hypercube of short trainings comes before the model.

    Args:
        objective: as for `keras_tuner.Oracle`.
        **settings: see `PromotingOracle`.
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

    def by_model(self, outlook: Outlook) -> Decision | None:
        """What is to be trained, now that there is a model.

        Here, asynchronous halving from the rung on whose scores tell enough of the last one's; where nothing is to be
        promoted, the new configuration with the largest expected improvement at the last rung, begun up to that rung.
        """
        if not outlook.proposals:
            values = self.new_configuration()
            return self.promotion() or (self.next_best() if values is None else Decision(0, values=values))
        _, values = outlook.proposals[0]
        first = self._first_rung(outlook)
        begun = Decision(first, values=values)
        return self.promotion(first) or (begun if self.has_room(begun) else Decision(0, values=values))

    def _first_rung(self, outlook: Outlook) -> int:
        """The rung up to which trainings of the proposed configurations should begin: what it tells per epoch.

        The correlation of its scores with the last rung's, which falls to nothing where the first epochs are chance, to
        the power `TELLING`, by its epochs. Choosing the first rung by what the rungs have told is the idea of the
        resource allocation of Li et al., "Hyper-Tune" (arXiv:2201.06834, 2022), which weighs brackets by rankings.
        """
        points = self.new_points(outlook.rows)
        _, deviation = outlook.model.predict(points)
        correlation = np.median(outlook.model.foresee(points) / deviation, axis=1)
        return int(np.argmax(correlation**TELLING / np.array(self.levels)))

    # The search ----------------------------------------------------------------------------------------------------

    def decide(self, number: int) -> Decision | None:
        self._follow_space()
        if number < DESIGN or len(self._scores) < 2 or not self._embedding.entries:
            values = self.new_configuration()
            return Decision(0, values=values) if values is not None else self.next_best()
        with self._libraries.limit(limits=1, user_api="blas"):
            return self.by_model(self._outlook(number))

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

    # What subclasses use -------------------------------------------------------------------------------------------

    def _outlook(self, number: int) -> Outlook:
        """Before trial `number` is decided about."""
        model, known = self.model(), self.known_chains()
        mean, deviation = model.predict(self.points(known))
        return Outlook(model, known, mean, deviation, self._proposals(number, model, known, mean))

    def _proposals(
        self, number: int, model: CurveProcess, known: list[Chain], mean: np.ndarray
    ) -> list[tuple[np.ndarray, dict[str, Any]]]:
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        centres = np.array([self._row(known[index]) for index in np.argsort(-mean, kind="stable")[:CENTRES]])
        uniform = generator.random((UNIFORM, len(self._embedding.entries)))
        rows = np.vstack([uniform, candidates.around(self._embedding, centres, LOCAL, generator)])
        gains = self._gains(model, rows, mean.max())
        promising = rows[np.argsort(-gains, kind="stable")[:CENTRES]]
        nearby = candidates.around(self._embedding, promising, LAST_LOCAL, generator)
        rows = np.vstack([rows, nearby])
        gains = np.append(gains, self._gains(model, nearby, mean.max()))
        found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
        for index in np.argsort(-gains, kind="stable"):
            values = self._embedding.configuration(rows[index])
            if not self.is_tried(values):
                found.setdefault(digest(values), (rows[index], values))
            if len(found) == PROPOSALS:
                break
        return list(found.values())

    def _gains(self, model: CurveProcess, rows: np.ndarray, best: float) -> np.ndarray:
        return expected_improvement(*model.predict(self.new_points(rows)), best)

    def expected_cost(self, trial_id: str) -> float | None:
        """Counted where an earlier trial of the chain has told its cost, else predicted from others'.

        In units of the first cost that was told. To three digits: no result depends on how a library rounds.
        """
        if not self.costs:
            return None
        reference = next(iter(self.costs.values()))
        known = self.costs.get(self.trials[trial_id].hyperparameters.values.get(PARENT, ""))
        if known is not None:
            return float(f"{with_fixed(known / reference):.3g}")
        self._follow_space()
        ended = [chain for chain in self.chains if not chain.running and chain.last in self.costs]
        if not ended or not self._embedding.entries:
            return None
        chosen = _spread(ended)
        model = CostModel(self.points(chosen).x, np.array([self.costs[chain.last] for chain in chosen]), reference)
        return float(f"{model.relative(self.points([self._chain_of[trial_id]]).x)[0]:.3g}")

    # The model -----------------------------------------------------------------------------------------------------

    def model(self) -> CurveProcess:
        """What is known, and what is pending."""
        prior = Prior(self.points(self.chains[:1]).x.shape[1], self.levels)
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

    def known_chains(self) -> list[Chain]:
        """The best at each rung."""
        numbers = dict.fromkeys(number for rung in self._reached for _, number in rung[:LEADING])
        return [self.chains[number] for number in numbers]

    def new_points(self, rows: np.ndarray) -> Observations:
        """Latent rows (n, d) of configurations that no trial has had, at the last rung."""
        numbers = np.arange(len(rows)) + len(self.chains)
        return Observations(self._embedding.features(rows), numbers, np.full(len(rows), len(self.levels) - 1))

    def _seen(self, chosen: np.ndarray) -> Observations:
        told = [self._scores[index] for index in chosen]
        return self._observations([self.chains[number] for number, _, _ in told], [rung for _, rung, _ in told])

    def _pending(self, running: list[Chain]) -> Observations:
        rungs = [self.levels.index(self.trials[chain.last].hyperparameters.values[EPOCHS]) for chain in running]
        return self._observations(running, rungs)

    def points(self, chains: list[Chain]) -> Observations:
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
            return self.model().predict(self.points(chains))[0].tolist()

    def recommended(self) -> str | None:
        """The trial whose configuration is expected to be best at the last rung, whatever it has been trained for."""
        chains = self.known_chains()
        if not chains:
            return None
        worth = self.worth(chains)
        return chains[max(range(len(chains)), key=lambda index: (worth[index], -index))].last


def _spread(chains: list[Chain]) -> list[Chain]:
    """At most `COUNTED` of the chains, evenly spread."""
    return [chains[index] for index in np.unique(np.linspace(0, len(chains) - 1, COUNTED).astype(int))]
