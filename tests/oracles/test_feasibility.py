from __future__ import annotations

import numpy as np
import pytest

from tuning.core.records import FAILED, Failure, TrialOutcome
from tuning.oracles.feasibility import Feasibility


def test_while_nothing_has_failed_everything_fits():
    points = np.random.default_rng(0).random((20, 3))
    assert (Feasibility(points, np.zeros(20, bool)).probability(points) == 1.0).all()


def test_what_is_larger_than_what_failed_is_doubted_after_the_first_failure():
    points = np.array([[0.1, 0.5], [0.3, 0.2], [0.4, 0.9], [0.2, 0.4], [0.75, 0.5]])
    model = Feasibility(points, np.array([False] * 4 + [True]))
    smaller, same, larger = model.probability(np.array([[0.2, 0.5], [0.75, 0.5], [0.95, 0.5]]))
    assert smaller > 0.8
    assert same < 0.6
    assert larger < same


def test_it_finds_the_bound_of_a_product():
    """Memory goes with width times batch size: a plane on logarithmic scales."""
    points = np.random.default_rng(1).random((60, 4))
    failed = points[:, 0] + points[:, 1] > 1.3
    new = np.random.default_rng(2).random((1000, 4))
    found = Feasibility(points, failed).probability(new)
    truth = new[:, 0] + new[:, 1] <= 1.3
    assert ((found > 0.5) == truth).mean() > 0.93


def test_all_failures_at_one_place_are_no_problem():
    found = Feasibility(np.full((5, 2), 0.5), np.ones(5, bool)).probability(np.array([[0.5, 0.5]]))
    assert 0.0 < found[0] < 0.5


def test_a_proposal_is_weighed_with_its_chances(simulated, monkeypatch):
    width = 1  # the column of a feature
    monkeypatch.setattr(Feasibility, "probability", lambda self, points: (points[:, width] < 0.5).astype(float))
    asked = simulated.drive(simulated.build("bayesian", max_trials=30, num_initial_points=8))
    assert {spec.values["width"] for spec in asked[:8]} == {16, 32, 48, 64}
    assert {spec.values["width"] for spec in asked[8:]} <= {16, 32}


@pytest.mark.parametrize(("kind", "most"), [("memory", 3), ("exception", 40)])
def test_a_search_leaves_what_does_not_fit(simulated, kind, most):
    """The widest models score best, and half of them run out of memory: they are soon left alone."""

    def outcome_of(spec):
        if spec.values["width"] >= 48 and spec.values["batch"] > 20:
            return TrialOutcome(spec.trial_id, FAILED, failure=Failure(kind, "it did not end well"))
        return simulated.completed(spec)

    search = simulated.build("bayesian", max_trials=45, seed=1)
    asked = simulated.drive(search, outcome_of=outcome_of)
    late = [spec for spec in asked[20:] if outcome_of(spec).status == FAILED]
    assert len(late) <= most
    assert (len(search.oracle.infeasible) > 0) == (kind == "memory")
    best = max(simulated.value_of(spec.values, 9) for spec in asked if outcome_of(spec).status != FAILED)
    assert best > 0.7
