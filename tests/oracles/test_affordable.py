"""What a budget cannot pay for is never proposed."""

from __future__ import annotations

import keras_tuner
import numpy as np
import pytest

from tuning.core.plan import CostLimit, KnownCost
from tuning.oracles import STRATEGIES
from tuning.oracles.affordable import Affordable


def space() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [8, 16, 32, 64])
    hp.Int("depth", 1, 4)
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    return hp


def cost(values: dict) -> float:
    return 1000.0 * values["width"] ** 2 * values["depth"]


def limit(most: float) -> CostLimit:
    rng = np.random.default_rng(0)
    known = [
        {"width": int(rng.choice([8, 16, 32, 64])), "depth": int(rng.integers(1, 5)), "rate": 1e-2} for _ in range(32)
    ]
    return CostLimit(most=most, relative=1.0, excluded=0.5, known=[KnownCost(values=v, cost=cost(v)) for v in known])


def test_costs_of_other_configurations_follow_from_the_known_ones():
    affordable = Affordable(limit(1e6), space().space)
    assert affordable.values({"width": 16, "depth": 2, "rate": 1e-3})
    assert not affordable.values({"width": 64, "depth": 1, "rate": 1e-3})
    assert not affordable.values({"width": 64, "depth": 4, "rate": 1e-3})


@pytest.mark.parametrize("name", ["hyperband", "bayesian", "random"])
def test_no_strategy_proposes_what_is_too_expensive(name):
    oracle = STRATEGIES[name](
        keras_tuner.Objective("score", "max"),
        hyperparameters=space(),
        max_epochs=9,
        factor=3,
        max_trials=40,
        seed=3,
        limit=limit(1e6),
    )
    proposed = []
    for number in range(40):
        trial = oracle.create_trial(f"{number}")
        if trial.status != "RUNNING":
            break
        values = trial.hyperparameters.values
        proposed.append(values)
        oracle.update_trial(trial.trial_id, {"score": 0.01 * values["width"] + 0.1 * values["depth"]}, step=0)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert len(proposed) >= 20
    # What is predicted is a few percent off.
    assert max(cost(values) for values in proposed[1:]) <= 1.3e6
    assert len({values["width"] for values in proposed}) >= 2


def test_a_space_without_hyperparameters_is_affordable():
    assert Affordable(limit(1.0), []).values({})
