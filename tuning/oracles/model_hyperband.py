"""Hyperband whose brackets a model fills, promotes and recommends from.

Sources: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), for the brackets; Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", ICML 2018, for a model that fills them and for the share of uniform draws. The model is that of
`tuning.oracles.surrogate`: it sees all rungs, so that it can also say what is promoted and what is recommended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.oracles import candidates
from tuning.oracles.acquisition import standardised
from tuning.oracles.base import BRACKET, EPOCHS, PARENT
from tuning.oracles.cost_model import CostModel, with_fixed
from tuning.oracles.embedding import Embedding
from tuning.oracles.feasibility import Feasibility
from tuning.oracles.promoting import Chain, Decision, PromotingOracle
from tuning.oracles.surrogate import Points, Prior, Surrogate, Timeline, fit, log_expected_improvement
X = lambda name, default: type(default)(os.environ.get("X_" + name, default))

#: Trials before the model has a say, the defaults among them: rows of a Latin hypercube.
DESIGN = X("DESIGN", 8)
#: One new configuration in so many is a uniform draw, so that a model that is wrong is found out.
UNIFORM_SHARE = X("UNI", 5)
#: Candidates: uniform ones, some around the best known, and more around the most promising, so many times.
UNIFORM, LOCAL, REFINED, REFINEMENTS = 200, 100, 40, X("REF", 3)
CENTRES = 5
#: Configurations that a suggestion is looked for among.
PROPOSALS = 10
#: A score says that a curve has left chance when it is so many times chance.
LEAVES = 1.1
#: Chains of each rung, the best by their scores there, among which the best at the last rung is looked for.
LEADING = 20
#: Scores that the model knows at most, and scores that its parameters are fitted to: cubic cost.
KNOWN, FITTED = 150, 120
#: Pending trials that it believes at most, the latest.
PENDING = 24
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.15
#: Chains that say what fits into memory and time, and what an epoch costs.
COUNTED = 300


@dataclass
class Bracket:
    """A bracket under way.

    Attributes:
        number: from 1, in the order in which brackets began.
        first: the rung that it starts from.
        sizes: trials of each of its rungs.
        stage: which of them it fills.
        started, failed, running: trials of this stage.
    """

    number: int
    first: int
    sizes: list[int]
    stage: int = 0
    started: int = 0
    failed: int = 0
    running: int = 0

    @property
    def rung(self) -> int:
        """The rung that is filled."""
        return self.first + self.stage

    @property
    def has_room(self) -> bool:
        """Whether the stage wants another trial; failed ones are replaced, but not for ever."""
        size = self.sizes[self.stage]
        return self.started - self.failed < size and self.started < 2 * size

    @property
    def last_stage(self) -> bool:
        return self.stage == len(self.sizes) - 1


@dataclass(frozen=True)
class Score:
    """A score that the model may know: of a chain, after so many epochs, having left chance at `left` or not yet."""

    chain: int
    rung: int
    epoch: int
    left: int | None
    score: float


class ModelHyperbandOracle(PromotingOracle):
    """The defaults are trained whole; then brackets, from a first rung that the curves so far choose.

    Args:
        objective: as for `keras_tuner.Oracle`.
        chance: the objective of a model that has learned nothing, say 1 / classes; None: unknown.
        **settings: see `PromotingOracle`.
    """

    def __init__(
        self, objective: keras_tuner.Objective | str | None = None, *, chance: float | None = None, **settings: Any
    ) -> None:
        self.chance = chance
        super().__init__(objective, **settings)
        self._timeline = Timeline(self.levels)
        # One thread: sums come out the same on every machine, and the cores belong to the workers.
        self._libraries = ThreadpoolController()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._embedding = Embedding([])
        self._entries = 0
        self._rows: dict[int, np.ndarray] = {}  # latent rows of the chains
        self._scores: list[Score] = []
        self._scored_to: dict[int, int] = {}  # chain -> highest rung with a score
        self._fitted: tuple[int, np.ndarray, np.ndarray] | None = None  # scores then, parameters, which are known
        self._cost_model: tuple[int, CostModel] | None = None
        self._left: dict[int, int | None] = {}  # chain -> epoch at which it left chance
        self._open: list[Bracket] = []
        self._waiting: set[int] = set()  # numbers of those that can start nothing until a result is told
        self._bracket_of: dict[str, Bracket] = {}  # of the running trials
        self._begun = 0  # brackets
        self._promotions = 0  # of the next bracket at most
        self._chosen: Bracket | None = None  # for the trial that is being decided about

    # Brackets ------------------------------------------------------------------------------------------------------

    def first_rung(self) -> int:
        """The rung from which the next bracket at its widest starts."""
        last = len(self.levels) - 1
        forced = X("FIRST", -1)
        if forced >= 0:
            return min(forced, last)
        return self._first_rung_rule()

    def _first_rung_rule(self) -> int:
        last = len(self.levels) - 1
        return max(0, last - 2)

    def _open_bracket(self) -> Bracket:
        last, first = len(self.levels) - 1, self.first_rung()
        widest = last - first
        promotions = min(self._promotions, widest) if self._begun else widest
        if promotions < 0:
            promotions = widest
        size = -(-(widest + 1) * self.factor**promotions // (promotions + 1))
        self._begun += 1
        self._promotions = promotions - 1
        bracket = Bracket(
            self._begun, last - promotions, [size // self.factor**stage for stage in range(promotions + 1)]
        )
        self._open.append(bracket)
        return bracket

    def _bracket(self, fresh: bool) -> Bracket | None:
        """The bracket that the next trial belongs to; None where nothing can start in any."""
        for bracket in [bracket for bracket in self._open if bracket.number not in self._waiting]:
            if self._can_start(bracket, fresh):
                return bracket
        if not fresh and not self._open and not self.promotable():
            return None
        for _ in range(len(self.levels)):
            bracket = self._open_bracket()
            if self._can_start(bracket, fresh):
                return bracket
            if self._open and self._open[-1] is bracket:
                return None
        return None

    def _can_start(self, bracket: Bracket, fresh: bool) -> bool:
        while True:
            able = (fresh and not bracket.stage) or any(
                self._paused[rung] for rung in range(bracket.rung if not bracket.stage else bracket.rung)
            )
            if bracket.has_room and able:
                return True
            if bracket.running:
                self._waiting.add(bracket.number)
                return False
            if bracket.last_stage:
                self._open.remove(bracket)
                return False
            bracket.stage, bracket.started, bracket.failed = bracket.stage + 1, 0, 0

    def _next(self, number: int) -> Decision | None:
        self._chosen = None
        known = self.known_good()
        if number == 0:
            return Decision(len(self.levels) - 1, values=known)
        return self._in_bracket(known) if known is not None else self.decide(number)

    def _in_bracket(self, values: Mapping[str, Any]) -> Decision | None:
        self._chosen = bracket = self._bracket(True)
        while bracket is not None and bracket.stage:  # a promotion is due first
            return self._promote(bracket)
        return None if bracket is None else Decision(bracket.rung, values=values)

    def decide(self, number: int) -> Decision | None:
        self._follow_space()
        self._chosen = bracket = self._bracket(True)
        if bracket is None:
            return None
        if bracket.stage:
            return self._promote(bracket)
        decision = self._begin_or_take(bracket, number)
        if decision is None:  # no configuration is left
            self._chosen = bracket = self._bracket(False)
            decision = self._promote(bracket) if bracket is not None else None
        return decision

    def _paused_below(self, rung: int) -> list[Chain]:
        low = 0 if X("POOL", 1) else rung - 1
        return [chain for below in range(low, rung) for chain in self.paused(below)]

    def _promote(self, bracket: Bracket) -> Decision | None:
        direct = list(self.paused(bracket.rung - 1))
        chains = self._paused_below(bracket.rung) if X("POOL", 1) or not direct else direct
        if not chains:
            return None
        worth = self.worth(chains)
        return Decision(bracket.rung, chains[max(range(len(chains)), key=lambda index: (worth[index], -index))])

    def _begin_or_take(self, bracket: Bracket, number: int) -> Decision | None:
        """A new configuration, or a paused one that promises more; None where there is neither."""
        if not self._has_model or self._is_uniform(number):
            values = self.new_configuration()
            return None if values is None else Decision(bracket.rung, values=values)
        with self._libraries.limit(limits=1, user_api="blas"):
            model = self.model()
            best = self._best(model)
            proposal = self._proposal(number, model, best)
            chains = self._paused_below(bracket.rung)
            if chains and X("TAKE", 1):
                gains = log_expected_improvement(*model.predict(self._ends(chains)), best)
                index = int(np.argmax(gains))
                if proposal is None or gains[index] > proposal[0]:
                    return Decision(bracket.rung, chains[index])
        if proposal is not None:
            return Decision(bracket.rung, values=proposal[1])
        values = self.new_configuration()
        return None if values is None else Decision(bracket.rung, values=values)

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
        self._chosen = None
        if BRACKET in recorded:
            self._chosen = self._bracket(True)
            if self._chosen is None or self._chosen.number != recorded[BRACKET]:
                self._chosen = self._bracket(False)
        return super()._recorded_decision(recorded)

    def _begin(self, trial_id: str, decision: Decision) -> dict[str, Any]:
        answer = super()._begin(trial_id, decision)
        bracket, self._chosen = self._chosen, None
        if bracket is not None and decision.rung == bracket.rung:
            bracket.started += 1
            bracket.running += 1
            self._bracket_of[trial_id] = bracket
            answer["values"][BRACKET] = bracket.number
        return answer

    def _ended(self, trial: Trial) -> None:
        chain = self._chain_of[trial.trial_id]
        super()._ended(trial)
        bracket = self._bracket_of.pop(trial.trial_id, None)
        if bracket is not None:
            bracket.running -= 1
            bracket.failed += chain.failed
            self._waiting.discard(bracket.number)
        if trial.status == TrialStatus.COMPLETED:
            self._note_scores(chain, self._scores_by_epoch(trial))

    def _note_scores(self, chain: Chain, scores: Mapping[int, float]) -> None:
        if self.chance is not None and self._left.get(chain.number) is None:
            left = (epoch for epoch in sorted(scores) if scores[epoch] >= LEAVES * self.chance)
            self._left[chain.number] = next(left, None)
        for rung in range(self._scored_to.get(chain.number, -1) + 1, chain.rung + 1):
            epoch = self.levels[rung]
            last = epoch if rung < chain.rung and epoch in scores else max(scores)
            if rung < chain.rung and epoch not in scores:
                continue
            window = [scores[e] for e in range(last - last // X("SMOOTH", 10), last + 1) if e in scores]
            left = 1 if self.chance is None else self._left[chain.number]
            left = left if left is not None and left <= last else None
            self._scores.append(Score(chain.number, rung, epoch, left, float(np.mean(window))))
            self._scored_to[chain.number] = rung

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
        milestone = 4
        while (later := max(milestone + 1, int(milestone * GROWTH))) <= len(self._scores):
            milestone = later
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
        gains = log_expected_improvement(*model.predict(points), best)
        return gains + np.log(self._chances(x)) if self.infeasible else gains

    def _chances(self, x: np.ndarray) -> np.ndarray:
        """How likely configurations are to fit into memory and time."""
        ended = [c for c in self.chains if not c.running and (not c.failed or c.last in self.infeasible)]
        chosen = _spread(ended)
        failed = np.array([chain.last in self.infeasible for chain in chosen])
        return np.maximum(Feasibility(self._features(chosen), failed).probability(x), 1e-12)

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
        return float(f"{self._costs(reference).relative(x)[0]:.3g}")

    def _costs(self, reference: float) -> CostModel:
        milestone = 1
        while (later := max(milestone + 1, int(milestone * GROWTH))) <= len(self.costs):
            milestone = later
        if self._cost_model is None or self._cost_model[0] != milestone:
            told = list(self.costs.items())[:milestone]
            chosen = [told[index] for index in np.unique(np.linspace(0, milestone - 1, COUNTED).astype(int))]
            rows = [self._embedding.latent(self.trials[trial_id].hyperparameters.values) for trial_id, _ in chosen]
            x = self._embedding.features(np.array(rows))
            self._cost_model = milestone, CostModel(x, np.array([cost for _, cost in chosen]), reference)
        return self._cost_model[1]

    def known_chains(self) -> list[Chain]:
        """The best at each rung."""
        numbers = dict.fromkeys(number for rung in self._reached for _, number in rung[:LEADING])
        return [self.chains[number] for number in numbers]

    def _points(self, scores: Iterable[Score]) -> Points:
        scores = list(scores)
        weights = np.array([self._timeline.weights(s.epoch, s.left) for s in scores])
        return Points(self._features([self.chains[s.chain] for s in scores]), np.array([s.chain for s in scores]), weights)

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
            self._rows, self._fitted, self._cost_model = {}, None, None

    # What is recommended -------------------------------------------------------------------------------------------

    def worth(self, chains: list[Chain]) -> list[float]:
        """Expected scores at the last rung."""
        self._follow_space()
        if not self._has_model:
            return super().worth(chains)
        with self._libraries.limit(limits=1, user_api="blas"):
            return self.model().mean(self._ends(chains)).tolist()

    def recommended(self) -> str | None:
        """The trial whose configuration is expected to be best at the last rung, whatever it has been trained for."""
        chains = self.known_chains()
        if not chains:
            return None
        worth = self.worth(chains)
        return chains[max(range(len(chains)), key=lambda index: (worth[index], -index))].last

    def get_state(self) -> dict[str, Any]:
        brackets = [asdict(bracket) for bracket in self._open]
        running = {trial_id: bracket.number for trial_id, bracket in self._bracket_of.items()}
        begun = {"begun": self._begun, "promotions": self._promotions}
        return {**super().get_state(), **begun, "brackets": brackets, "bracket_of": running}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._begun, self._promotions = state["begun"], state["promotions"]
        self._open = [Bracket(**bracket) for bracket in state["brackets"]]
        by_number = {bracket.number: bracket for bracket in self._open}
        self._bracket_of = {trial_id: by_number[number] for trial_id, number in state["bracket_of"].items()}


def _spread(chains: list[Chain]) -> list[Chain]:
    """At most `COUNTED` of the chains, evenly spread."""
    return [chains[index] for index in np.unique(np.linspace(0, len(chains) - 1, COUNTED).astype(int))]


def build(objective, **settings: Any) -> ModelHyperbandOracle:
    """The row of `STRATEGIES`."""
    return ModelHyperbandOracle(objective, **settings)
