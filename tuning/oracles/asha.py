"""ASHA: successive halving that never waits for a whole rung.

Source: Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020, Algorithm 2. Its races between workers are gone: results come in logical order.
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuning.oracles.promoting import Decision, PromotingOracle


class AshaOracle(PromotingOracle):
    """Whatever is in the best `1 / factor` of those that reached its rung goes on; else a new configuration starts.

    New configurations are uniform draws, the space's defaults first. See `PromotingOracle` for the arguments.
    """

    def decide(self, number: int) -> Decision | None:
        decision = self.promotion()
        if decision is not None:
            return decision
        values = self.new_configuration()
        return Decision(0, values=values) if values is not None else self.next_best()


def build(objective: keras_tuner.Objective | str | None, **settings: Any) -> AshaOracle:
    """The row of `STRATEGIES`."""
    return AshaOracle(objective, **settings)
