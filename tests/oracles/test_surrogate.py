"""The surrogate: its gradient, what it believes, and where curves are compared."""

from __future__ import annotations

import numpy as np

from tuning.oracles import surrogate
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
    told, pending = (Points(seen.x[rows], seen.curve[rows], seen.weights[rows]) for rows in (slice(30), slice(30, 40)))
    model = Surrogate(told, targets[:30], vector, prior)
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
