"""What strategies with a model of all curves weigh, beside what a score would tell."""

from __future__ import annotations

import math

import keras_tuner
import numpy as np
import pytest

from tuning.core.records import COMPLETED, FAILED, Failure, TrialOutcome
from tuning.oracles import curve_model
from tuning.oracles.feasibility import Feasibility

NAMES = ["freeze_thaw", "bohb"]


def begun(asked):
    """Trials that start a configuration which the model chose."""
    return [spec for spec in asked[curve_model.DESIGN :] if spec.continues is None]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_score_for_less(name, simulated):
    """Width gains little: weighed against its cost, narrower models are tried."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("filters", 16, 96, step=16, default=64)
    hyperparameters.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)

    def outcome_of(spec):
        value = 0.5 - 0.1 * abs(math.log10(spec.values["rate"]) + 2) + 0.0001 * spec.values["filters"]
        curve = tuple({"epoch": e, "objective": value * (1 - math.exp(-e / 3))} for e in range(1, spec.epochs + 1))
        return TrialOutcome(
            spec.trial_id, COMPLETED, curve[-1]["objective"], curve, cost=1e4 * spec.values["filters"] ** 2
        )

    widths = {}
    for weighed in (False, True):
        asked = [
            simulated.drive(
                simulated.build(name, hyperparameters, max_trials=40, seed=seed, objective_per_cost=weighed),
                window=2,
                outcome_of=outcome_of,
            )
            for seed in range(3)
        ]
        widths[weighed] = np.mean([spec.values["filters"] for specs in asked for spec in begun(specs)])
    assert widths[True] < 0.75 * widths[False]


@pytest.mark.parametrize("name", NAMES)
def test_a_proposal_is_weighed_with_its_chances(name, simulated, monkeypatch):
    """Once something ran out of memory; here the chances are told, not learned."""
    width = 1  # the column of a feature
    monkeypatch.setattr(Feasibility, "probability", lambda self, points: (points[:, width] < 0.5).astype(float))

    def outcome_of(spec):
        if spec.trial_id == "0001":
            return TrialOutcome(spec.trial_id, FAILED, failure=Failure("memory", "it did not fit"))
        return simulated.completed(spec)

    asked = simulated.drive(simulated.build(name, max_trials=30), window=1, outcome_of=outcome_of)
    assert len({spec.values["width"] for spec in asked[: curve_model.DESIGN]}) > 2
    assert begun(asked)
    assert {spec.values["width"] for spec in begun(asked)} <= {16, 32}


@pytest.mark.parametrize("name", NAMES)
def test_where_the_leading_chains_are_all_over_others_still_count(name, simulated, monkeypatch):
    monkeypatch.setattr(curve_model, "LEADING", 1)
    search = simulated.build(name, stop_when_flat=True, max_trials=40)
    asked = simulated.drive(search, window=1)
    assert asked[-1].epochs == 9
