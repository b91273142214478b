"""What a strategy has that trains a little at a time and asks the surrogate: what it knows, proposes and recommends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.oracles import candidates
from tuning.oracles.acquisition import standardised
from tuning.oracles.base import EPOCHS, PARENT
from tuning.oracles.chance import Chances, Silence
from tuning.oracles.cost_model import CostModel, with_fixed
from tuning.oracles.embedding import Embedding
from tuning.oracles.promoting import Chain, PromotingOracle
from tuning.oracles.surrogate import Points, Prior, Surrogate, Timeline, fit, log_expected_improvement

#: Trials before the model has a say, the defaults among them: rows of a Latin hypercube.
DESIGN = 5
#: Candidates: uniform ones, some around the best known, and more around the most promising, so many times.
UNIFORM, LOCAL, REFINED, REFINEMENTS = 200, 100, 40, 3
CENTRES = 5
#: Configurations that a suggestion is looked for among.
PROPOSALS = 10
#: A score is the mean of the last epochs, one in so many of those trained: single epochs are noisy.
SMOOTHED = 10
#: Configurations before the model recommends.
FEW = 12
#: Chains of each rung, the best by their scores there, among which the best at the last rung is looked for.
LEADING = 20
#: Power of the chance that a configuration works, beside its expected improvement: what does not work teaches no score.
CAUTION = 4.0
#: Deviations of a score that a configuration is worth less which never leaves chance.
SILENT = 5.0
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 150, 120
#: Pending trials that it believes at most, the latest.
PENDING = 16
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.15
#: Chains that say what fits into memory and time, and what an epoch costs.
COUNTED = 300


@dataclass(frozen=True)
class Score:
    """A score that the model may know: of a chain, after so many epochs, having left chance in epoch `left`."""

    chain: int
    rung: int
    epoch: int
    left: int
    score: float


class SurrogateOracle(PromotingOracle):
    """Base class; a subclass defines `decide`. A Latin hypercube comes before the model.

    Args:
        objective: as for `keras_tuner.Oracle`.
        chance: the objective of a model that has learned nothing, 1 / classes for accuracy; None: unknown.
        **settings: see `PromotingOracle`.
    """

    def __init__(
        self, objective: keras_tuner.Objective | str | None = None, *, chance: float | None = None, **settings: Any
    ) -> None:
        self.chance = chance
        super().__init__(objective, **settings)
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._timeline = Timeline(self.levels)
        # A loss has no such bound.
        self._silence = Silence(self.chance if self.objective.direction == "max" else None, self.levels)
        self._embedding = Embedding([])
        self._entries = 0
        self._rows: dict[int, np.ndarray] = {}  # latent rows of the chains
        self._scores: list[Score] = []
        self._fitted: tuple[int, np.ndarray, list[int]] | None = None  # scores then, parameters, which are known
        self._model: tuple[int, Surrogate] | None = None  # scores then
        self._costs: tuple[int, CostModel] | None = None
        self._told = 0  # trials
        self._workings: list[tuple[int, bool]] = []  # (chain, whether it does not work)
        self._chances: Chances | None = None  # from them

    def draw(self, number: int) -> dict[str, Any] | None:
        """A row of the design while there is one, else a uniform draw."""
        self._follow_space()
        begun = len(self.chains)
        if begun < DESIGN and self._embedding.entries:
            values = self._embedding.configuration(candidates.design_row(self._embedding, self.seed, begun, DESIGN))
            if not self.is_tried(values):
                return values
        return super().draw(number)

    # What is told --------------------------------------------------------------------------------------------------

    def _ended(self, trial: Trial) -> None:
        chain = self._chain_of[trial.trial_id]
        self._rows.pop(chain.number, None)  # its builder may have added values
        before = chain.rung
        super()._ended(trial)
        if trial.status == TrialStatus.COMPLETED:
            self._note_scores(chain, before, self._scores_by_epoch(trial))
        self._told += 1
        if _milestone(1, self._told) == self._told:
            self._note_workings()

    def _note_scores(self, chain: Chain, before: int, scores: Mapping[int, float]) -> None:
        """Scores at chance say nothing of how good a configuration is once it learns, so that the model sees none."""
        known = self._silence.left(chain.number)
        left = self._silence.note(chain.number, chain.rung, scores)
        if left is None:
            return
        for rung in range(0 if known is None else before + 1, chain.rung + 1):
            epoch = self.levels[rung]
            if epoch < left or (rung < chain.rung and epoch not in scores):
                continue
            last = epoch if epoch in scores else max(scores)
            window = [scores[e] for e in range(last - last // SMOOTHED, last + 1) if e in scores]
            self._scores.append(Score(chain.number, rung, epoch, left, sum(window) / len(window)))

    # The model -----------------------------------------------------------------------------------------------------

    @property
    def has_model(self) -> bool:
        return len(self.chains) >= DESIGN and len(self._scores) >= 4 and bool(self._embedding.entries)

    def model(self) -> Surrogate:
        """What is known, and what is pending."""
        model = self._told_model()
        latest = itertools.islice(reversed(self.ongoing_trials.values()), PENDING)
        running = [self._chain_of[trial.trial_id] for trial in latest]
        if not running:
            return model
        epochs = [self.trials[chain.last].hyperparameters.values[EPOCHS] for chain in running]
        weights = np.array([self._timeline.weights(epoch) for epoch in epochs])
        return model.believing(Points(self._features(running), np.array([chain.number for chain in running]), weights))

    def _told_model(self) -> Surrogate:
        """Of what was told, in whatever process. Where hundreds of scores are known, one more changes nothing."""
        count = len(self._scores)
        count -= count % max(count // KNOWN, 1)
        if self._model is None or self._model[0] != count:
            prior = Prior(self._features(self.chains[:1]).shape[1], self._timeline)
            vector, kept = self._fit(prior, count)
            known = [self._scores[index] for index in kept]
            targets = standardised(np.array([score.score for score in known]))
            self._model = count, Surrogate(self._points(known), targets, vector, prior)
        return self._model[1]

    def _fit(self, prior: Prior, count: int) -> tuple[np.ndarray, list[int]]:
        """Parameters, and which of the first `count` scores are known."""
        milestone = _milestone(4, count)
        if self._fitted is None or self._fitted[0] != milestone:
            known = [self._scores[index] for index in self._kept(milestone, FITTED)]
            vector = fit(self._points(known), standardised(np.array([score.score for score in known])), prior)
            self._fitted = milestone, vector, self._kept(milestone, KNOWN)
        _, vector, kept = self._fitted
        recent = range(max(milestone, count - KNOWN // 4), count)
        return vector, [*kept[: KNOWN - len(recent)], *recent]

    def _kept(self, count: int, most: int) -> list[int]:
        """Of the first `count` scores: the best of the highest rungs, and an even spread of the others."""
        if count <= most:
            return list(range(count))
        order = sorted(range(count), key=lambda i: (-self._scores[i].rung, -self._scores[i].score))
        others = sorted(order[most // 2 :])
        spread = np.linspace(0, len(others) - 1, most - most // 2).astype(int)
        return order[: most // 2] + [others[index] for index in spread]

    def best_score(self, model: Surrogate) -> float:
        return float(model.mean(self.ends(self.known_chains())).max())

    def proposal(self, number: int, model: Surrogate, best: float) -> tuple[float, dict[str, Any]] | None:
        """(log expected improvement, configuration) of what promises most at the last rung."""
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        known = self.known_chains()
        order = np.argsort(-model.mean(self.ends(known)), kind="stable")[:CENTRES]
        centres = np.array([self._row(known[index]) for index in order])
        uniform = generator.random((UNIFORM, len(self._embedding.entries)))
        rows = np.vstack([uniform, candidates.around(self._embedding, centres, LOCAL, generator)])
        gains = self._gains(model, rows, best)
        for _ in range(REFINEMENTS):
            promising = rows[np.argsort(-gains, kind="stable")[:CENTRES]]
            nearby = candidates.around(self._embedding, promising, REFINED, generator)
            rows = np.vstack([rows, nearby])
            gains = np.append(gains, self._gains(model, nearby, best))
        for index in np.argsort(-gains, kind="stable")[: 5 * PROPOSALS]:
            values = self._embedding.configuration(rows[index])
            if not self.is_tried(values):
                return float(gains[index]), values
        return None

    def _gains(self, model: Surrogate, rows: np.ndarray, best: float) -> np.ndarray:
        x = self._embedding.features(rows)
        points = Points(x, np.arange(len(rows)) + len(self.chains), self._timeline.end[None])
        gains = log_expected_improvement(*model.predict(points), best)
        chances = self._known_chances()
        if chances is None:
            return gains
        return gains + CAUTION * np.log(np.maximum(chances.probability(x, model.scales), 1e-12))

    def _known_chances(self) -> Chances | None:
        """None: every configuration is certain to work."""
        if self._chances is None and self._workings:
            known = _spread(self._workings)
            x = self._features([self.chains[number] for number, _ in known])
            self._chances = Chances(x, np.array([failed for _, failed in known]))
        return self._chances

    def _note_workings(self) -> None:
        """Which chains work, and which failed or will never leave chance; what may yet leave it is neither."""
        dead = [self._silence.hope(rung) < 0.5 for rung in range(len(self.levels) - 1)] + [True]
        self._workings, self._chances = [], None
        for chain in self.chains:
            if chain.failed:
                self._workings.append((chain.number, True))
            elif self._silence.left(chain.number) is not None:
                self._workings.append((chain.number, False))
            elif chain.rung >= 0 and dead[chain.rung]:
                self._workings.append((chain.number, True))
        if not any(failed for _, failed in self._workings):
            self._workings = []

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
        if not self._embedding.entries:
            return None
        x = self._features([self._chain_of[trial_id]])
        return float(f"{self._cost_model(reference).relative(x)[0]:.3g}")

    def _cost_model(self, reference: float) -> CostModel:
        milestone = _milestone(1, len(self.costs))
        if self._costs is None or self._costs[0] != milestone:
            told = _spread(list(self.costs.items())[:milestone])
            rows = [self._embedding.latent(self.trials[trial_id].hyperparameters.values) for trial_id, _ in told]
            x = self._embedding.features(np.array(rows))
            self._costs = milestone, CostModel(x, np.array([cost for _, cost in told]), reference)
        return self._costs[1]

    def known_chains(self) -> list[Chain]:
        """The best at each rung."""
        numbers = dict.fromkeys(number for rung in self._reached for _, number in rung[:LEADING])
        return [self.chains[number] for number in numbers]

    def _points(self, scores: Iterable[Score]) -> Points:
        scores = list(scores)
        weights = np.array([self._timeline.weights(s.epoch, s.left) for s in scores])
        return Points(
            self._features([self.chains[s.chain] for s in scores]), np.array([s.chain for s in scores]), weights
        )

    def ends(self, chains: list[Chain]) -> Points:
        return Points(self._features(chains), np.array([chain.number for chain in chains]), self._timeline.end[None])

    def _features(self, chains: list[Chain]) -> np.ndarray:
        return self._embedding.features(np.array([self._row(chain) for chain in chains]))

    def _row(self, chain: Chain) -> np.ndarray:
        """(d,) latent row of a chain."""
        if chain.number not in self._rows:
            self._rows[chain.number] = self._embedding.latent(self.values_of(chain))
        return self._rows[chain.number]

    def _follow_space(self) -> None:
        if len(self.hyperparameters.space) != self._entries:
            self._entries = len(self.hyperparameters.space)
            self._embedding = Embedding(self.hyperparameters.space)
            self._rows, self._fitted, self._model, self._costs, self._chances = {}, None, None, None, None

    # What is recommended -------------------------------------------------------------------------------------------

    def worth(self, chains: list[Chain]) -> list[float]:
        """Expected scores at the last rung."""
        self._follow_space()
        if len(self.chains) < 3 or len(self._scores) < 4 or not self._embedding.entries:
            return super().worth(chains)
        with self._libraries.limit(limits=1, user_api="blas"):
            expected = self.model().mean(self.ends(chains))
        return (expected - self.penalties(chains)).tolist()

    def penalties(self, chains: list[Chain]) -> np.ndarray:
        """What chains that are at chance are worth less, in deviations of a score."""
        silent = [self._silence.left(chain.number) is None for chain in chains]
        hopes = [0.0 if chain.over else self._silence.hope(chain.rung) for chain in chains]
        return SILENT * np.array(silent) * (1.0 - np.array(hopes))

    def recommended(self) -> str | None:
        """The trial whose configuration is expected to be best at the last rung, whatever it has been trained for.

        While few are known, the one whose score is furthest above that of the defaults after as many epochs.
        """
        chains = self.known_chains()
        if not chains:
            return None
        if len(self.chains) < FEW:
            unknown = self.chance or 0.0
            defaults = {score.rung: score.score for score in self._scores if score.chain == 0}
            worth: Sequence[float] = [(chain.score or 0.0) - defaults.get(chain.rung, unknown) for chain in chains]
        else:
            worth = self.worth(chains)
        return chains[best_of(worth)].last


def _milestone(first: int, count: int) -> int:
    """The last of a growing row of numbers, from `first`, that is not above `count`: when models are fitted anew."""
    while (later := max(first + 1, int(first * GROWTH))) <= count:
        first = later
    return first


def best_of(worth: Sequence[float] | np.ndarray) -> int:
    """Of equals, the first."""
    return int(np.argmax(worth))


def _spread(known: list[Any]) -> list[Any]:
    """At most `COUNTED` of them, evenly spread."""
    return [known[index] for index in np.unique(np.linspace(0, len(known) - 1, COUNTED).astype(int))]
