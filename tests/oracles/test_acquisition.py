"""Log expected improvement where expectations are large, small, and smaller than a float."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from tuning.oracles.acquisition import log_expected_improvement, standardised


def test_log_expected_improvement_does_not_underflow():
    mean, one = np.array([0.5, -0.5, -3.0, -30.0, -3e4]), np.ones(5)
    found = log_expected_improvement(mean, one, 0.0)
    assert np.all(np.isfinite(found)) and np.all(np.diff(found) < 0)
    draws = mean[:2, None] + np.random.default_rng(0).normal(size=(2, 400_000))
    assert np.allclose(np.exp(found[:2]), np.maximum(draws, 0.0).mean(axis=1), rtol=0.02)
    assert found[2] == pytest.approx(-7.87, abs=0.01)  # log 0.000382, from tables of the normal distribution


def test_it_is_the_integral_on_both_sides_of_where_the_form_changes():
    z = np.array([2.0, -0.999, -1.001, -4.0])
    integrals = [quad(lambda f, m=m: f * norm.pdf(f - m), 0.0, np.inf, epsabs=0.0)[0] for m in z]
    assert log_expected_improvement(z, np.ones(4), 0.0) == pytest.approx(np.log(integrals), rel=1e-7)
    # In the units of the deviation.
    assert log_expected_improvement(3 * z, np.full(4, 3.0), 0.0) == pytest.approx(
        np.log(3.0) + np.log(integrals), rel=1e-7
    )


def test_it_goes_over_to_its_asymptote_without_a_step():
    z = -(2.0**13) + np.array([-1.0, -1e-3, 1e-3, 1.0])
    found = log_expected_improvement(z, np.ones(4), 0.0)
    assert found == pytest.approx(-0.5 * z * z - 0.5 * np.log(2 * np.pi) - 2 * np.log(-z), abs=1e-6)
    assert np.all(np.diff(found) > 0)


def test_bad_scores_are_drawn_together():
    targets = standardised(np.array([0.0, 0.5, 0.6, 0.7]))
    assert targets.mean() == pytest.approx(0.0) and targets.std() == pytest.approx(1.0)
    assert targets[1] - targets[0] < 5 * (targets[2] - targets[1])
    assert standardised(np.full(3, 0.5)).tolist() == [0.0, 0.0, 0.0]
