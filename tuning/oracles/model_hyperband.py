"""Hyperband whose brackets a model fills, promotes and recommends from.

Sources: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), for the brackets; Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", ICML 2018, for a model that fills them and for the share of uniform draws. The model is that of
`tuning.oracles.surrogate`: it sees all rungs, so that it can also say what is promoted and what is recommended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.core import records
from tuning.core.errors import UsageError
from tuning.oracles.base import BRACKET, ReplayableOracle
from tuning.oracles.brackets import Brackets, Slot
from tuning.oracles.hyperband import HyperbandOracle
from tuning.oracles.promoting import Chain, Decision
from tuning.oracles.surrogate import log_expected_improvement
from tuning.oracles.surrogate_oracle import SurrogateOracle, best_of

#: One new configuration in so many is a uniform draw, so that a model that is wrong is found out.
UNIFORM_SHARE = 5
#: A third of the curves at chance at the first rung are too many, where most leave it later.
LATE = 1 / 3


class ModelHyperbandOracle(SurrogateOracle):
    """The defaults are trained whole; then brackets, from a first rung that the curves so far choose.

    A new configuration has the largest expected improvement at the last rung; where a paused one of an earlier bracket
    promises more, it takes that place. What is promoted, and recommended, has the best expected score there.
    See `SurrogateOracle` for the arguments.
    """

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._brackets = Brackets(len(self.levels) - 1, self.factor, self.first_rung)
        self._slot: Slot | None = None  # of the trial that is being decided about

    # Brackets ------------------------------------------------------------------------------------------------------

    def first_rung(self) -> int:
        """The rung from which the widest bracket starts: from R / factor^2 to R / factor.

        The first of them at which the defaults had left chance; one more while a third of the curves is at chance
        there that leave it later.
        """
        last = len(self.levels) - 1
        lowest, highest = max(last - 2, 0), max(last - 1, 0)
        if not self._silence.is_told(0):
            return lowest
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
        if self._slot is not None and (decision := self._begin_or_take(self._slot, number)) is not None:
            return decision
        self._slot = slot = self._brackets.find(False, self._any_paused_below)  # no configuration is left
        return None if slot is None else self._promote(slot)

    def _any_paused_below(self, rung: int) -> bool:
        return any(self._paused[:rung])

    def _paused_below(self, rung: int) -> list[Chain]:
        return [chain for below in range(rung) for chain in self.paused(below)]

    def _promote(self, slot: Slot) -> Decision:
        chains = self._paused_below(slot.rung)
        return Decision(slot.rung, chains[best_of(self.worth(chains))])

    def _begin_or_take(self, slot: Slot, number: int) -> Decision | None:
        """A new configuration, or a paused one that promises more; None where there is neither."""
        if self.has_model and not self._is_uniform(number):
            with self._libraries.limit(limits=1, user_api="blas"):
                model = self.model()
                best = self.best_score(model)
                proposal = self.proposal(number, model, best)
                chains = self._paused_below(slot.rung)
                if chains:
                    gains = log_expected_improvement(*model.predict(self.ends(chains)), best) - self.penalties(chains)
                    index = best_of(gains)
                    if proposal is None or gains[index] > proposal[0]:
                        return Decision(slot.rung, chains[index])
            if proposal is not None:
                return Decision(slot.rung, values=proposal[1])
        values = self.new_configuration()
        return None if values is None else Decision(slot.rung, values=values)

    def _is_uniform(self, number: int) -> bool:
        return records.keyed_seed(self.seed, "uniform", number) % UNIFORM_SHARE == 0

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
        super()._ended(trial)
        self._brackets.end(trial.trial_id, trial.status != TrialStatus.COMPLETED)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "brackets": self._brackets.state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._brackets.restore(state["brackets"])


#: What may fill, promote and recommend.
SAMPLERS = ("model", "random")


def build(
    objective: keras_tuner.Objective | str | None,
    *,
    sampler: str = "model",
    chance: float | None = None,
    **settings: Any,
) -> ReplayableOracle:
    """The row of `STRATEGIES`: `sampler="random"` is the paper's own.

    Raises:
        UsageError: there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {sampler!r}", f"choose one of {', '.join(SAMPLERS)}")
    if sampler == "random":
        return HyperbandOracle(objective, **settings)
    return ModelHyperbandOracle(objective, chance=chance, **settings)
