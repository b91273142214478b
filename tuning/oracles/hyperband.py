"""Hyperband with a surrogate model that proposes, promotes and recommends configurations.

Sources: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), for the brackets; Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", ICML 2018, for a model that fills them and for the share of uniform draws. The model, that of
`tuning.oracles.surrogate`, uses the scores of all rungs, so that it also decides on promotions and recommendations.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.core.errors import UsageError
from tuning.oracles import candidates
from tuning.oracles.acquisition import log_expected_improvement
from tuning.oracles.base import BRACKET, EPOCHS, ReplayableOracle
from tuning.oracles.brackets import Brackets, Slot
from tuning.oracles.curves import Curves
from tuning.oracles.first_rung import PROBES, first_rung, is_doubtful, may_be_lower, usual_rung
from tuning.oracles.paper_hyperband import PaperHyperbandOracle
from tuning.oracles.rung_oracle import Configuration, Decision, RungOracle
from tuning.oracles.search_model import PENDING, Proposal, SearchModel, milestone, one_thread
from tuning.oracles.surrogate import Points, Surrogate

#: Configurations before the model proposes any: the defaults, and rows of a Latin hypercube.
DESIGN = 5
#: First configurations, which get a full training at once: the defaults, and the first two of `first`.
WHOLE = 3
#: One new configuration in this many is a uniform draw, as a safeguard against a wrong model.
UNIFORM_SHARE = 5
#: Configurations, and full trainings, needed before the model recommends.
FEW, FEW_WHOLE = 12, 2
#: Number of best configurations of each rung, by their scores there, that are candidates for the best at the last rung.
LEADING = 20


class HyperbandOracle(RungOracle):
    """Trains the defaults and the first two of `first` in full, then runs brackets from a rung chosen by the curves.

    A configuration in `first` is known to be good in a way that a first rung may not show. While the defaults are still
    training, that rung cannot be chosen: no bracket begins, and other trials are new configurations, trained to the
    usual first rung. A bracket's new configuration maximises expected improvement at the last rung; a paused
    configuration with a larger expected improvement takes its place. Promoted and recommended are the configurations
    with the best expected score at the last rung.

    Args:
        objective: as for `keras_tuner.Oracle`.
        chance: the objective of a model that has learned nothing, 1 / classes for accuracy; None: unknown.
        **settings: see `RungOracle`.
    """

    def __init__(
        self, objective: keras_tuner.Objective | str | None = None, *, chance: float | None = None, **settings: Any
    ) -> None:
        self.chance = chance
        super().__init__(objective, **settings)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._brackets = Brackets(
            len(self.levels) - 1, self.factor, self.first_rung, lambda rung: len(self._paused[rung])
        )
        self._slot: Slot | None = None  # of the trial being decided on
        # A minimised objective, such as a loss, has no chance level.
        self._curves = Curves(self.chance if self.objective.direction == "max" else None, self.levels)
        self._model = SearchModel(self.seed, self.levels, lambda number: self.values_of(self.configurations[number]))
        self._completed = 0  # number of trials that have ended

    # What is trained next ------------------------------------------------------------------------------------------

    def first_rung(self) -> int:
        """Returns the rung from which the widest bracket of a pass would start if it were opened now."""
        return first_rung(self.levels, self._curves.chance_level)

    def _next(self, number: int) -> Decision | None:
        """Decides on the next trial; the first starting points are trained to the end at once."""
        self._model.follow(self.hyperparameters.space)
        self._slot = None
        last = len(self.levels) - 1
        if self.closing is not None:
            return self._last_promotion(last)
        given = self.starting_point()
        if number == 0 or (number < WHOLE and given is not None):
            return Decision(last, values=given)
        if self._is_probing():
            # Many trials may start while the defaults are training: enough for the model to propose some.
            proposal = self._proposal(number) if given is None else None
            if (values := self.new_configuration() if proposal is None else proposal.values) is not None:
                return Decision(usual_rung(self.levels), values=values)
        self._slot = slot = self._brackets.find(True, self._any_paused_below)
        if slot is None:
            return None
        if slot.stage:
            return self._promote(slot)
        return self.decide(number) if given is None else Decision(slot.rung, values=given)

    def _is_probing(self) -> bool:
        """Returns whether new trials should help to choose the rung from which brackets start."""
        if self.configurations[0].running:
            return True
        few = len(self.configurations) < PROBES and not self._brackets.begun
        return few and may_be_lower(self.levels, self._curves.chance_level)

    def _last_promotion(self, last: int) -> Decision | None:
        """Promotes the best paused configuration to the end while `closing` allows and no shorter trial is running."""
        paused = self._paused_below(last)
        running = any(trial.hyperparameters.values[EPOCHS] < self.max_epochs for trial in self.ongoing_trials.values())
        if not self.closing or not paused or running:
            return None
        return Decision(last, paused[best_of(self.expected_finals(paused))])

    def decide(self, number: int) -> Decision | None:
        if self._slot is not None and (decision := self._begin_or_take(self._slot, number)) is not None:
            return decision
        self._slot = slot = self._brackets.find(False, self._any_paused_below)  # no new configuration is available
        return None if slot is None else self._promote(slot)

    def draw(self, number: int) -> dict[str, Any] | None:
        """Returns a row of the Latin hypercube for the first configurations, then a uniform draw."""
        self._model.follow(self.hyperparameters.space)
        begun, embedding = len(self.configurations), self._model.embedding
        if begun < DESIGN and embedding.entries:
            values = embedding.configuration(candidates.design_row(embedding, self.seed, begun, DESIGN))
            if not self.is_excluded(values):
                return values
        return super().draw(number)

    def _any_paused_below(self, rung: int) -> bool:
        return any(self._paused[:rung])

    def _paused_below(self, rung: int) -> list[Configuration]:
        return [paused for below in range(rung) for paused in self.paused(below)]

    def _promote(self, slot: Slot) -> Decision:
        paused, level = self._paused_below(slot.rung), self._curves.chance_level
        if is_doubtful(slot.rung - 1, level):  # promoting one of them shows whether they leave chance later
            doubtful = [each for each in self.paused(slot.rung - 1) if level.left(each.number) is None]
            paused = doubtful or paused
        return Decision(slot.rung, paused[best_of(self.expected_finals(paused))])

    def _begin_or_take(self, slot: Slot, number: int) -> Decision | None:
        """Returns a new configuration, or a paused one with a larger expected improvement; None if there is neither."""
        proposal = self._proposal(number)
        paused = self._paused_below(slot.rung)
        if proposal is not None and paused:
            with one_thread():
                posterior = self._posterior()
                best = float(posterior.mean(self._ends(self._leading())).max())
                gains = log_expected_improvement(*posterior.predict(self._ends(paused)), best)
            gains = gains - self._curves.penalties(paused)
            index = best_of(gains)
            if gains[index] > proposal.gain:
                return Decision(slot.rung, paused[index])
        values = self.new_configuration() if proposal is None else proposal.values
        return None if values is None else Decision(slot.rung, values=values)

    def _proposal(self, number: int) -> Proposal | None:
        """Returns the model's proposal; None without a model, for a uniform draw, or if no configuration is left."""
        if not self._has_model or len(self.configurations) < DESIGN or self._is_uniform(number):
            return None
        with one_thread():
            leading = [each.number for each in self._leading()]
            return self._model.propose(number, self._posterior(), leading, self.is_tried, self.affordable())

    def _is_uniform(self, number: int) -> bool:
        return records.keyed_seed(self.seed, "uniform", number) % UNIFORM_SHARE == 0

    # What is expected ----------------------------------------------------------------------------------------------

    @property
    def _has_model(self) -> bool:
        return self._model.is_ready and len(self.configurations) >= 3

    def _posterior(self) -> Surrogate:
        running = itertools.islice(reversed(self.ongoing_trials.values()), PENDING)
        return self._model.posterior(
            [(self._configuration_of[trial.trial_id].number, trial.hyperparameters.values[EPOCHS]) for trial in running]
        )

    def _ends(self, configurations: Sequence[Configuration]) -> Points:
        return self._model.ends([each.number for each in configurations])

    def _leading(self) -> list[Configuration]:
        """Returns the `LEADING` best configurations of each rung."""
        numbers = dict.fromkeys(number for rung in self._reached for _, number in rung[:LEADING])
        return [self.configurations[number] for number in numbers]

    def expected_finals(self, configurations: list[Configuration]) -> list[float]:
        self._model.follow(self.hyperparameters.space)
        if not self._has_model:
            return super().expected_finals(configurations)
        with one_thread():
            expected = self._posterior().mean(self._ends(configurations))
        return (expected - self._curves.penalties(configurations)).tolist()

    def recommended(self) -> str | None:
        """Returns the trial whose configuration is expected to be best at the last rung, however long it was trained.

        While few results are known, it is the one whose score is furthest above that of the defaults at the same rung.
        Configurations that have failed since are never recommended.
        """
        leading = [each for each in self._leading() if not each.failed]
        if not leading:
            return None
        if len(self.configurations) < FEW or len(self._reached[-1]) < FEW_WHOLE:
            unknown = self.chance or 0.0
            defaults = {score.rung: score.score for score in self._model.scores if score.configuration == 0}
            merits: Sequence[float] = [each.score - defaults.get(each.rung, unknown) for each in leading]
        else:
            merits = self.expected_finals(leading)
        return leading[best_of(merits)].last

    def expected_cost(self, trial_id: str) -> float | None:
        """Returns the cost of an epoch of a trial relative to the first reported cost; None: unknown.

        Rounded to three digits, so that it does not depend on how a library rounds.
        """
        self._model.follow(self.hyperparameters.space)
        cost = self._model.relative_cost(self._configuration_of[trial_id].number)
        return None if cost is None else float(f"{cost:.3g}")

    # What is completed ---------------------------------------------------------------------------------------------

    def _ended(self, trial: Trial) -> None:
        configuration = self._configuration_of[trial.trial_id]
        self._model.forget(configuration.number)
        before = configuration.rung
        super()._ended(trial)
        self._brackets.end(trial.trial_id, trial.status != TrialStatus.COMPLETED)
        if trial.status == TrialStatus.COMPLETED:
            scores = self._scores_by_epoch(trial)
            self._model.scores += self._curves.record(configuration.number, before, configuration.rung, scores)
        if trial.trial_id in self.costs:
            self._model.costs.setdefault(configuration.number, self.costs[trial.trial_id])
        self._completed += 1
        if milestone(1, self._completed) == self._completed:
            self._model.set_works(self._curves.works(self.configurations))

    # keras_tuner.Oracle --------------------------------------------------------------------------------------------

    def _recorded_decision(self, recorded: Mapping[str, Any]) -> Decision:
        self._model.follow(self.hyperparameters.space)
        decision = super()._recorded_decision(recorded)
        number = recorded.get(BRACKET)
        self._slot = None if number is None else self._brackets.slot_of(number, decision.rung)
        return decision

    def _last_decision(self) -> Decision | None:
        self._slot = None
        if self.closing is not None:
            return None
        return super()._last_decision()

    def _begin(self, trial_id: str, decision: Decision) -> dict[str, Any]:
        answer = super()._begin(trial_id, decision)
        if self.closing:
            self.closing -= 1
        if self._slot is not None:
            self._brackets.start(trial_id, self._slot)
            answer["values"][BRACKET] = self._slot.bracket.number
        return answer

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "brackets": self._brackets.state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._brackets.restore(state["brackets"])


def best_of(values: Sequence[float] | np.ndarray) -> int:
    """Returns the index of the largest value, the first one of equals."""
    return int(np.argmax(values))


#: What may choose configurations: the surrogate model, or uniform draws as in the paper.
SAMPLERS = ("model", "random")


def build(
    objective: keras_tuner.Objective | str | None,
    *,
    sampler: str = "model",
    chance: float | None = None,
    **settings: Any,
) -> ReplayableOracle:
    """Builds the oracle of a row of `STRATEGIES`; `sampler="random"` is the paper's algorithm.

    Raises:
        UsageError: there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {sampler!r}", f"choose one of {', '.join(SAMPLERS)}")
    if sampler == "random":
        return PaperHyperbandOracle(objective, **settings)
    return HyperbandOracle(objective, chance=chance, **settings)
