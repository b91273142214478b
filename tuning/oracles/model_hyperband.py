"""Hyperband whose brackets a model fills, promotes and recommends from.

Sources: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), for the brackets; Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", ICML 2018, for a model that fills them and for the share of uniform draws. The model is that of
`tuning.oracles.surrogate`: it sees all rungs, so that it can also say what is promoted and what is recommended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.core.errors import UsageError
from tuning.oracles import candidates
from tuning.oracles.acquisition import standardised
from tuning.oracles.base import BRACKET, EPOCHS, PARENT, ReplayableOracle
from tuning.oracles.brackets import Brackets, Slot
from tuning.oracles.chance import Silence
from tuning.oracles.cost_model import CostModel, with_fixed
from tuning.oracles.embedding import Embedding
from tuning.oracles.feasibility import Feasibility
from tuning.oracles.hyperband import HyperbandOracle
from tuning.oracles.promoting import Chain, Decision, PromotingOracle
from tuning.oracles.surrogate import Points, Prior, Surrogate, Timeline, fit, log_expected_improvement

#: Trials before the model has a say, the defaults among them: rows of a Latin hypercube.
DESIGN = 8
#: One new configuration in so many is a uniform draw, so that a model that is wrong is found out.
UNIFORM_SHARE = 5
#: Candidates: uniform ones, some around the best known, and more around the most promising, so many times.
UNIFORM, LOCAL, REFINED, REFINEMENTS = 200, 100, 40, 3
CENTRES = 5
#: Configurations that a suggestion is looked for among.
PROPOSALS = 10
#: A score is the mean of the last epochs, one in so many of those trained: single epochs are noisy.
SMOOTHED = 10
#: A third of the curves at chance at the first rung are too many, where most leave it later.
LATE = 1 / 3
#: Configurations before the model recommends.
FEW = 12
#: Chains of each rung, the best by their scores there, among which the best at the last rung is looked for.
LEADING = 20
#: Deviations of a score that a configuration is worth less which never leaves chance.
SILENT = 5.0
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 150, 120
#: Pending trials that it believes at most, the latest.
PENDING = 24
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


class ModelHyperbandOracle(PromotingOracle):
    """The defaults are trained whole; then brackets, from a first rung that the curves so far choose.

    A new configuration has the largest expected improvement at the last rung; where a paused one of an earlier bracket
    promises more, it takes that place. What is promoted, and recommended, has the best expected score there.

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
        if self.objective.direction != "max":
            self.chance = None  # a loss has no such bound
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._timeline = Timeline(self.levels)
        self._silence = Silence(self.chance, self.levels)
        self._brackets = Brackets(len(self.levels) - 1, self.factor, self.first_rung)
        self._slot: Slot | None = None  # of the trial that is being decided about
        self._embedding = Embedding([])
        self._entries = 0
        self._rows: dict[int, np.ndarray] = {}  # latent rows of the chains
        self._scores: list[Score] = []
        self._fitted: tuple[int, np.ndarray, list[int]] | None = None  # scores then, parameters, which are known
        self._costs: tuple[int, CostModel] | None = None
        self._fits: tuple[int, Feasibility] | None = None

    # Brackets ------------------------------------------------------------------------------------------------------

    def first_rung(self) -> int:
        """The rung from which the widest bracket starts: from R / factor^2 to R / factor.

        The first of them at which the defaults had left chance; one more while a third of the curves is at chance
        there that leave it later.
        """
        last = len(self.levels) - 1
        lowest, highest = max(last - 2, 0), max(last - 1, 0)
        left = self._silence.left(0)
        rungs = range(lowest, highest)
        first = highest if left is None else next((rung for rung in rungs if self.levels[rung] >= left), highest)
        while first < highest and self._silence.hope(first) >= 0.5 and self._silence.share_silent(first) > LATE:
            first += 1
        return first

    def _next(self, number: int) -> Decision | None:
        """The defaults go to the end at once: one whole curve, of a configuration that is known to learn."""
        self._follow_space()
        self._slot = None
        known = self.known_good()
        if number == 0:
            return Decision(len(self.levels) - 1, values=known)
        self._slot = slot = self._brackets.find(True, self._any_paused_below)
        if slot is None:
            return None
        if slot.stage:
            return self._promote(slot)
        return self.decide(number) if known is None else Decision(slot.rung, values=known)

    def decide(self, number: int) -> Decision | None:
        decision = self._begin_or_take(self._slot, number)
        if decision is not None:
            return decision
        self._slot = slot = self._brackets.find(False, self._any_paused_below)  # no configuration is left
        return None if slot is None else self._promote(slot)

    def _any_paused_below(self, rung: int) -> bool:
        return any(self._paused[:rung])

    def _paused_below(self, rung: int) -> list[Chain]:
        return [chain for below in range(rung) for chain in self.paused(below)]

    def _promote(self, slot: Slot) -> Decision:
        chains = self._paused_below(slot.rung)
        return Decision(slot.rung, chains[_best_of(self.worth(chains))])

    def _begin_or_take(self, slot: Slot, number: int) -> Decision | None:
        """A new configuration, or a paused one that promises more; None where there is neither."""
        if self._has_model and not self._is_uniform(number):
            with self._libraries.limit(limits=1, user_api="blas"):
                model = self.model()
                best = self._best(model)
                proposal = self._proposal(number, model, best)
                chains = self._paused_below(slot.rung)
                if chains:
                    gains = log_expected_improvement(*model.predict(self._ends(chains)), best) - self._penalties(chains)
                    index = _best_of(gains)
                    if proposal is None or gains[index] > proposal[0]:
                        return Decision(slot.rung, chains[index])
            if proposal is not None:
                return Decision(slot.rung, values=proposal[1])
        values = self.new_configuration()
        return None if values is None else Decision(slot.rung, values=values)

    @property
    def _has_model(self) -> bool:
        return len(self.chains) >= DESIGN and len(self._scores) >= 4 and bool(self._embedding.entries)

    def _is_uniform(self, number: int) -> bool:
        return records.keyed_seed(self.seed, "uniform", number) % UNIFORM_SHARE == 0

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

    def _recorded_decision(self, recorded: Mapping[str, Any]) -> Decision:
        self._follow_space()
        decision = super()._recorded_decision(recorded)
        number = recorded.get(BRACKET)
        self._slot = None if number is None else self._brackets.slot_of(number, decision.rung)
        return decision

    def _last_decision(self) -> Decision | None:
        self._slot = None
        return super()._last_decision()

    def _begin(self, trial_id: str, decision: Decision) -> dict[str, Any]:
        answer = super()._begin(trial_id, decision)
        if self._slot is not None:
            self._brackets.start(trial_id, self._slot)
            answer["values"][BRACKET] = self._slot.bracket.number
        return answer

    def _ended(self, trial: Trial) -> None:
        chain = self._chain_of[trial.trial_id]
        before = chain.rung
        super()._ended(trial)
        self._brackets.end(trial.trial_id, chain.failed)
        if trial.status == TrialStatus.COMPLETED:
            self._note_scores(chain, before, self._scores_by_epoch(trial))

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
            self._scores.append(Score(chain.number, rung, epoch, left, float(np.mean(window))))

    # The model -----------------------------------------------------------------------------------------------------

    def model(self) -> Surrogate:
        """What is known, and what is pending."""
        prior = Prior(self._features(self.chains[:1]).shape[1], self._timeline)
        vector, kept = self._fit(prior)
        known = [self._scores[index] for index in kept]
        model = Surrogate(self._points(known), standardised(np.array([s.score for s in known])), vector, prior)
        running = [self._chain_of[trial.trial_id] for trial in self.ongoing_trials.values()][-PENDING:]
        if not running:
            return model
        epochs = [self.trials[chain.last].hyperparameters.values[EPOCHS] for chain in running]
        weights = np.array([self._timeline.weights(epoch) for epoch in epochs])
        pending = Points(self._features(running), np.array([chain.number for chain in running]), weights)
        return model.believing(pending)

    def _fit(self, prior: Prior) -> tuple[np.ndarray, list[int]]:
        """Parameters, and which scores are known: functions of what was told, in whatever process."""
        milestone = _milestone(4, len(self._scores))
        if self._fitted is None or self._fitted[0] != milestone:
            kept = self._kept(milestone, FITTED)
            known = [self._scores[index] for index in kept]
            vector = fit(self._points(known), standardised(np.array([s.score for s in known])), prior)
            self._fitted = milestone, vector, self._kept(milestone, KNOWN)
        _, vector, kept = self._fitted
        recent = range(milestone, min(len(self._scores), milestone + KNOWN))
        return vector, [*kept[: max(KNOWN - len(recent), KNOWN // 2)], *recent][:KNOWN]

    def _kept(self, count: int, most: int) -> list[int]:
        """Of the first `count` scores: the best of the highest rungs, and an even spread of the others."""
        if count <= most:
            return list(range(count))
        order = sorted(range(count), key=lambda i: (-self._scores[i].rung, -self._scores[i].score))
        others = sorted(order[most // 2 :])
        spread = np.linspace(0, len(others) - 1, most - most // 2).astype(int)
        return order[: most // 2] + [others[index] for index in spread]

    def _best(self, model: Surrogate) -> float:
        return float(model.mean(self._ends(self.known_chains())).max())

    def _proposal(self, number: int, model: Surrogate, best: float) -> tuple[float, dict[str, Any]] | None:
        """(log expected improvement, configuration) of what promises most at the last rung."""
        generator = np.random.default_rng(records.keyed_seed(self.seed, "candidates", number))
        known = self.known_chains()
        order = np.argsort(-model.mean(self._ends(known)), kind="stable")[:CENTRES]
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
        chances = self._chances()
        gains = log_expected_improvement(*model.predict(points), best)
        return gains if chances is None else gains + np.log(np.maximum(chances.probability(_squared(x)), 1e-12))

    def _chances(self) -> Feasibility | None:
        """How likely configurations are to fit into memory and time and to leave chance; None: certain."""
        milestone = _milestone(1, len(self.end_order))
        if self._fits is None or self._fits[0] != milestone:
            dead = [self._silence.hope(rung) < 0.5 for rung in range(len(self.levels) - 1)] + [True]
            known: list[tuple[Chain, bool]] = []
            for chain in self.chains:
                if chain.failed and chain.last in self.infeasible:
                    known.append((chain, True))
                elif not chain.failed and self._silence.left(chain.number) is not None:
                    known.append((chain, False))
                elif not chain.failed and not chain.running and dead[chain.rung]:
                    known.append((chain, True))
            if not any(failed for _, failed in known):
                return None
            chosen = _spread(known)
            x = _squared(self._features([chain for chain, _ in chosen]))
            self._fits = milestone, Feasibility(x, np.array([failed for _, failed in chosen]))
        return self._fits[1]

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

    def _ends(self, chains: list[Chain]) -> Points:
        return Points(self._features(chains), np.array([chain.number for chain in chains]), self._timeline.end[None])

    def _features(self, chains: list[Chain]) -> np.ndarray:
        return self._embedding.features(np.array([self._row(chain) for chain in chains]))

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
            self._rows, self._fitted, self._costs, self._fits = {}, None, None, None

    # What is recommended -------------------------------------------------------------------------------------------

    def worth(self, chains: list[Chain]) -> list[float]:
        """Expected scores at the last rung."""
        self._follow_space()
        if len(self.chains) < 3 or len(self._scores) < 4 or not self._embedding.entries:
            return super().worth(chains)
        with self._libraries.limit(limits=1, user_api="blas"):
            expected = self.model().mean(self._ends(chains))
        return (expected - self._penalties(chains)).tolist()

    def _penalties(self, chains: list[Chain]) -> np.ndarray:
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
            worth: Sequence[float] = [chain.score - defaults.get(chain.rung, unknown) for chain in chains]
        else:
            worth = self.worth(chains)
        return chains[_best_of(worth)].last

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "brackets": self._brackets.state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._brackets.restore(state["brackets"])


def _milestone(first: int, count: int) -> int:
    """The last of a growing row of numbers, from `first`, that is not above `count`: when models are fitted anew."""
    while (later := max(first + 1, int(first * GROWTH))) <= count:
        first = later
    return first


def _best_of(worth: Sequence[float] | np.ndarray) -> int:
    """Of equals, the first."""
    return int(np.argmax(worth))


def _spread(known: list[Any]) -> list[Any]:
    """At most `COUNTED` of them, evenly spread."""
    return [known[index] for index in np.unique(np.linspace(0, len(known) - 1, COUNTED).astype(int))]


def _squared(x: np.ndarray) -> np.ndarray:
    """(n, 2 f): features and their squares, so that what works may lie between two bounds."""
    return np.hstack([x, 0.5 + 2.0 * (x - 0.5) ** 2])


#: What may fill, promote and recommend.
SAMPLERS = ("model", "random")


def build(objective, *, sampler: str = "model", chance: float | None = None, **settings: Any) -> ReplayableOracle:
    """The row of `STRATEGIES`: `sampler="random"` is the paper's own.

    Raises:
        UsageError: there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {sampler!r}", f"choose one of {', '.join(SAMPLERS)}")
    if sampler == "random":
        return HyperbandOracle(objective, **settings)
    return ModelHyperbandOracle(objective, chance=chance, **settings)
