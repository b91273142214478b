"""The Gaussian process over configurations and rungs."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.oracles.curve_process import CurveProcess, Observations, Prior, _negative_log_posterior, fit

EPOCHS = (2, 6, 17, 51)
RUNGS = len(EPOCHS)


@pytest.fixture
def curves():
    """(observations, standardised scores) of twelve configurations, some trained further than others."""
    generator = np.random.default_rng(0)
    x = generator.random((12, 3))
    chain, rung = np.array([(number, rung) for number in range(12) for rung in range(1 + number % RUNGS)]).T
    scores = np.sin(3 * x[chain, 0]) - x[chain, 1] + 0.3 * rung + 0.1 * generator.normal(size=len(chain))
    return Observations(x[chain], chain, rung), (scores - scores.mean()) / scores.std()


@pytest.fixture
def process(curves):
    seen, targets = curves
    prior = Prior(3, EPOCHS)
    return CurveProcess(seen, targets, fit(seen, targets, prior), prior)


def top(x, chains):
    return Observations(np.asarray(x), np.asarray(chains), np.full(len(x), RUNGS - 1))


def test_the_gradient_is_that_of_the_value(curves):
    seen, targets = curves
    prior = Prior(3, EPOCHS)
    same = seen.chain[:, None] == seen.chain[None, :]
    at = prior.mean + np.random.default_rng(1).normal(0, 0.3, len(prior.mean))
    _, gradient = _negative_log_posterior(at, seen, same, targets, prior)
    for index in range(len(at)):
        step = np.zeros_like(at)
        step[index] = 1e-6
        above, below = (_negative_log_posterior(at + s, seen, same, targets, prior)[0] for s in (step, -step))
        assert gradient[index] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-5)


def test_fitting_makes_the_scores_more_probable(curves):
    seen, targets = curves
    prior = Prior(3, EPOCHS)
    same = seen.chain[:, None] == seen.chain[None, :]
    before, _ = _negative_log_posterior(prior.mean, seen, same, targets, prior)
    after, _ = _negative_log_posterior(fit(seen, targets, prior), seen, same, targets, prior)
    assert after < before - 1


def test_it_knows_what_it_saw_and_doubts_what_is_far(process, curves):
    seen, targets = curves
    mean, deviation = process.predict(seen)
    assert np.abs(mean - targets).max() < 0.5
    _, elsewhere = process.predict(top([[30.0, 30.0, 30.0]], [99]))
    assert elsewhere[0] > 3 * deviation.max()


@pytest.mark.parametrize("rung", range(RUNGS))
@pytest.mark.parametrize("chain", [0, 6, 99])
def test_what_it_foresees_is_what_a_score_does(process, curves, rung, chain):
    """A score one deviation above what was expected moves the expected last score by what was foreseen."""
    seen, targets = curves
    x = seen.x[seen.chain == chain][:1] if chain < 12 else np.array([[0.5, 0.2, 0.9]])
    there = Observations(x, np.array([chain]), np.array([rung]))
    mean, deviation = process.predict(there)
    score = mean + np.hypot(deviation, process.noise)
    told = CurveProcess(seen.followed_by(there), np.append(targets, score), process.vector, process.prior)
    end = top(x, [chain])
    moved = told.predict(end)[0] - process.predict(end)[0]
    assert moved == pytest.approx(process.foresee(end)[rung], rel=1e-3, abs=1e-6)


def test_further_training_tells_more(process):
    foreseen = process.foresee(top([[0.5, 0.2, 0.9]], [99]))[:, 0]
    assert (np.diff(foreseen) > 0).all()


def test_believing_changes_no_expectation_but_takes_doubt_away(process):
    pending = Observations(np.array([[0.5, 0.2, 0.9]]), np.array([99]), np.array([2]))
    end = top(pending.x, pending.chain)
    believing = process.believing(pending)
    assert believing.predict(end)[0] == pytest.approx(process.predict(end)[0], abs=1e-6)
    assert believing.predict(end)[1] < process.predict(end)[1]
