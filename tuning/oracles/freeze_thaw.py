"""Freeze-thaw: every configuration is trained a little at a time, and a model of all curves says which, and how long.

Sources: Swersky, Snoek, Adams, "Freeze-Thaw Bayesian Optimization" (arXiv:1406.3896, 2014) for the idea and the model
(see `tuning.oracles.curve_process`); Frazier, Powell, Dayanik, "The Knowledge-Gradient Policy for Correlated Normal
Beliefs", INFORMS J. Comput. 21 (2009), for what a training is worth: by how much it is expected to raise the best
expected score at the last rung (here between the trained configuration and the best other one alone); per epoch, as in
Wu, Toscano-Palmerin, Frazier, Wilson, "Practical Multi-fidelity Bayesian Optimization" (UAI 2019).

What one more training is worth says little about sixteen at once. Where many trials are pending, trainings go on by
asynchronous successive halving instead, and the model proposes new ones, as in `tuning.oracles.bohb`.
In either case a share of the epochs, `WHOLE`, goes to trainings up to the last rung, by expected improvement there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np

from tuning.oracles.acquisition import expected_improvement
from tuning.oracles.base import EPOCHS, INITIAL_EPOCH
from tuning.oracles.curve_model import CurveModelOracle, Outlook
from tuning.oracles.curve_process import Observations
from tuning.oracles.promoting import Decision

#: Share of the epochs, at least, of trainings to the end: where short ones mislead, the model learns it there.
WHOLE = 1 / 3
#: Chains for which is asked how far to go on with them.
CONTINUED = 40
#: Pending trials from which on successive halving decides.
MANY = 6


class FreezeThawOracle(CurveModelOracle):
    """Starts or continues the training, up to whatever rung, whose result is expected to help most per epoch.

    See `CurveModelOracle` for the arguments.
    """

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._to_the_end = 0  # epochs asked for of trainings up to the last rung

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

    @property
    def _whole_is_due(self) -> bool:
        """Whether trainings to the end have had less than their share."""
        return self._to_the_end < WHOLE * self._epochs_asked

    def by_model(self, outlook: Outlook) -> Decision | None:
        if len(self.ongoing_trials) >= MANY and not self._whole_is_due:
            return super().by_model(outlook)
        if self._whole_is_due:
            choices = self._endings(outlook)
        else:
            choices = [*self._continuations(outlook), *self._beginnings(outlook)]
        if choices:
            return max(choices, key=lambda choice: choice[0])[1]
        values = self.new_configuration()
        return Decision(0, values=values) if values is not None else self.next_best()

    def _endings(self, outlook: Outlook) -> list[tuple[float, Decision]]:
        """(expected improvement per epoch, decision) of trainings to the end."""
        last = len(self.levels) - 1
        able = {chain.number for chain in self.promotable()}
        chains = [chain for chain in outlook.known if chain.number in able]
        paths: list[tuple[Observations, list[Decision]]] = []
        if chains:
            paths.append((self.points(chains), [Decision(last, chain) for chain in chains]))
        if outlook.proposals:
            decisions = [Decision(last, values=values) for _, values in outlook.proposals]
            paths.append((self.new_points(outlook.rows), decisions))
        choices = []
        for points, decisions in paths:
            gains = expected_improvement(*outlook.model.predict(points), outlook.best)
            choices += [
                (float(gain) / self.cost(decision), decision)
                for gain, decision in zip(gains, decisions, strict=True)
                if self.has_room(decision)
            ]
        return choices

    def _continuations(self, outlook: Outlook) -> list[tuple[float, Decision]]:
        """(gain per epoch, decision) of the chains that may go on, each to every rung above."""
        known, mean = outlook.known, outlook.mean
        order = np.argsort(-mean, kind="stable")
        best, second = order[0], order[min(1, len(order) - 1)]
        able = {chain.number for chain in self.promotable()}
        promising = np.argsort(-(mean + outlook.deviation), kind="stable")
        chosen = [index for index in promising if known[index].number in able][:CONTINUED]
        if not chosen:
            return []
        points = self.points([known[index] for index in chosen])
        changes = outlook.model.foresee(points)
        choices = []
        for column, index in enumerate(chosen):
            # What is learned of the best helps where another one turns out to be better.
            other = mean[second] if index == best else mean[best]
            behind, chain = -abs(float(mean[index] - other)), known[index]
            for rung in range(chain.rung + 1, len(self.levels)):
                decision = Decision(rung, chain)
                if self.has_room(decision):
                    gain = float(expected_improvement(behind, changes[rung, column], 0.0))
                    choices.append((gain / self.cost(decision), decision))
        return choices

    def _beginnings(self, outlook: Outlook) -> list[tuple[float, Decision]]:
        """(gain per epoch, decision) of new configurations, each begun up to every rung; the best for each rung."""
        if not outlook.proposals:
            return []
        points = self.new_points(outlook.rows)
        mean, _ = outlook.model.predict(points)
        choices = []
        for rung, changes in enumerate(outlook.model.foresee(points)):
            gains = expected_improvement(mean, changes, outlook.best)
            decision = Decision(rung, values=outlook.proposals[int(np.argmax(gains))][1])
            if self.has_room(decision):
                choices.append((float(gains.max()) / self.cost(decision), decision))
        return choices


def build(objective: keras_tuner.Objective | str | None, **settings: Any) -> FreezeThawOracle:
    """The row of `STRATEGIES`."""
    return FreezeThawOracle(objective, **settings)
