"""The surrogate: its gradient, what it believes, where curves are compared, and log expected improvement."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.oracles import surrogate
from tuning.oracles.acquisition import log_expected_improvement
from tuning.oracles.brackets import Brackets
from tuning.oracles.chance import ChanceLevel
from tuning.oracles.feasibility import Feasibility
from tuning.oracles.rungs import brackets
from tuning.oracles.surrogate import Points, Prior, Surrogate, Timeline, fit

RUNGS = (2, 6, 17, 51)


def known(count=40, features=3):
    generator, timeline = np.random.default_rng(0), Timeline(RUNGS)
    curve = generator.integers(0, count // 2, count)
    x = generator.random((count, features))[curve]
    epochs, left = generator.choice(RUNGS, count), generator.integers(1, 5, count)
    weights = np.array([timeline.weights(int(e), int(begun)) for e, begun in zip(epochs, left, strict=True)])
    targets = np.sin(3.0 * x[:, 0]) + weights.sum(axis=1) + 0.1 * generator.normal(size=count)
    return Points(x, curve, weights), (targets - targets.mean()) / targets.std(), Prior(features, timeline)


def test_the_gradient_is_that_of_the_value():
    seen, targets, prior = known()
    vector = prior.mean + 0.3 * np.random.default_rng(1).normal(size=len(prior.mean))
    same = seen.curve[:, None] == seen.curve[None, :]

    def value_at(at):
        return surrogate._negative_log_posterior(at, seen, same, targets, prior)

    steps = 1e-5 * np.eye(len(vector))
    numeric = [(value_at(vector + step)[0] - value_at(vector - step)[0]) / 2e-5 for step in steps]
    assert np.allclose(value_at(vector)[1], numeric, atol=1e-4)


def test_believing_is_knowing_what_was_expected():
    seen, targets, prior = known()
    vector = fit(seen, targets, prior)
    model, pending = Surrogate(seen.take(np.arange(30)), targets[:30], vector, prior), seen.take(np.arange(30, 40))
    expected = np.concatenate([targets[:30], model.mean(pending)])
    whole = Surrogate(seen, expected, vector, prior)
    points = Points(np.random.default_rng(2).random((7, 3)), np.arange(7) + 99, Timeline(RUNGS).end[None])
    believing = model.believing(pending)
    assert np.allclose(believing.predict(points), whole.predict(points), atol=1e-6)
    assert np.allclose(believing.mean(points), model.mean(points), atol=1e-6)


def test_curves_are_compared_at_the_same_age():
    timeline = Timeline(RUNGS)
    assert timeline.weights(8, 3).tolist() == timeline.weights(6).tolist() == [1.0, 0.0, 0.0]
    assert timeline.end.tolist() == [1.0, 1.0, 1.0]


def test_log_expected_improvement_does_not_underflow():
    mean, one = np.array([0.5, -0.5, -3.0, -30.0, -3e4]), np.ones(5)
    found = log_expected_improvement(mean, one, 0.0)
    assert np.all(np.isfinite(found)) and np.all(np.diff(found) < 0)
    draws = mean[:2, None] + np.random.default_rng(0).normal(size=(2, 400_000))
    assert np.allclose(np.exp(found[:2]), np.maximum(draws, 0.0).mean(axis=1), rtol=0.02)
    assert found[2] == pytest.approx(-7.87, abs=0.01)  # log 0.000382, from tables of the normal distribution


def test_a_pass_of_brackets_is_the_papers():
    """Filled one by one, with nothing failing, a pass from the lowest rung has the sizes of Algorithm 1."""
    filled, paused = Brackets(4, 3, lambda: 0), True
    sizes: dict[int, list[int]] = {}
    for trial in range(81 + 27 + 9 + 3 + 1 + 34 + 11 + 3 + 1 + 15 + 5 + 1 + 8 + 2 + 5):
        slot = filled.find(True, lambda rung: paused)
        counts = sizes.setdefault(slot.bracket.number, [0] * len(slot.bracket.sizes))
        counts[slot.stage] += 1
        filled.start(str(trial), slot)
        filled.end(str(trial), failed=False)
    assert list(sizes.values()) == [[rung.size for rung in bracket.rungs] for bracket in brackets(81, 3)]


def test_the_probability_of_leaving_chance_is_the_share_of_those_trained_on_that_left_chance():
    level = ChanceLevel(0.1, (3, 9, 27))
    assert level.record(0, 2, {1: 0.1, 2: 0.5, 27: 0.9}) == 2  # the defaults: they had left it by the second epoch
    assert level.probability_of_leaving(0) == 1.0  # 2 * 2 > 3: others may be later
    assert level.record(1, 0, {1: 0.1, 3: 0.1}) is None
    assert level.share_at_chance(0) == 0.5
    assert level.record(1, 1, {1: 0.1, 3: 0.1, 9: 0.1}) is None
    assert level.probability_of_leaving(0) == 0.5  # one was trained on and did not
    assert level.record(1, 2, {3: 0.1, 9: 0.1, 20: 0.6}) == 20
    assert level.probability_of_leaving(0) == 1.0
    assert ChanceLevel(None, (3, 9)).record(0, 0, {3: -5.0}) == 1


def test_neighbours_say_what_works_near_an_edge():
    x = np.random.default_rng(0).random((60, 2))
    chances = Feasibility(x, x[:, 0] > 0.5)
    at = np.array([[0.1, 0.5], [0.4, 0.5], [0.6, 0.5], [0.9, 0.5]])
    found = chances.probability(at, np.ones(2))
    assert np.all(np.diff(found) < 0) and found[0] > 0.75 and found[3] < 0.2
