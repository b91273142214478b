"""The probability that a configuration works: its training does not fail, and its score leaves chance. Pure.

A logistic regression extrapolates: what is larger than a configuration that was too large does not work either. Near
the boundary, where the best configurations often are, the nearest known configurations predict better.
"""

from __future__ import annotations

import numpy as np

from tuning.oracles.surrogate import matern

#: Deviation of the normal prior of each slope: over a feature's whole range, odds may well change by a factor of 100.
SLOPE = 5.0
STEPS = 25
#: Length scales of the neighbours' weights, relative to the surrogate's; weight of the regression, in neighbours.
NEAR, OPINION = 0.3, 0.5


class LogisticRegression:
    """Maximum a posteriori logistic regression (Bishop 2006, section 4.3.3: Newton's method).

    Args:
        features: (n, f), in about [0, 1], of trials that ended.
        failed: (n,) bool, whether a trial did not work.
    """

    def __init__(self, features: np.ndarray, failed: np.ndarray) -> None:
        self._weights: np.ndarray | None = None
        if not failed.any():
            return
        columns = _columns(features)
        # The prior mean of the intercept only says that most configurations work.
        precision = np.full(columns.shape[1], 1.0 / SLOPE**2)
        prior = np.zeros(columns.shape[1])
        prior[0] = 2.0
        weights = prior.copy()
        for _ in range(STEPS):
            fits = _logistic(columns @ weights)
            gradient = columns.T @ (~failed - fits) - precision * (weights - prior)
            curvature = (columns.T * (fits * (1.0 - fits))) @ columns + np.diag(precision)
            step = np.linalg.solve(curvature, gradient)
            weights = weights + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        self._weights = weights

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Returns the probabilities (m,) that configurations with features (m, f) work; 1 while none has failed."""
        if self._weights is None:
            return np.ones(len(features))
        return _logistic(_columns(features) @ self._weights)


class Feasibility:
    """Averages the outcomes of the nearest configurations, weighted by distance, and the regression's prediction.

    Args:
        x: (n, f) features of known configurations.
        failed: (n,) bool, whether a configuration did not work.
    """

    def __init__(self, x: np.ndarray, failed: np.ndarray) -> None:
        self._x, self._worked = x, (~failed).astype(float)
        self._regression = LogisticRegression(_squared(x), failed)

    def probability(self, x: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Returns the probabilities (m,) that configurations with features (m, f) work.

        Args:
            scales: (f,) length scales of the surrogate.
        """
        near = matern(x / (NEAR * scales), self._x / (NEAR * scales))
        opinion = OPINION * self._regression.probability(_squared(x))
        return (opinion + near @ self._worked) / (OPINION + near.sum(axis=1))


def _squared(x: np.ndarray) -> np.ndarray:
    """Returns features and their squares (n, 2 f), so that working values may lie between two bounds."""
    return np.hstack([x, 0.5 + 2.0 * (x - 0.5) ** 2])


def _columns(features: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(features), 1)), features - 0.5])


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0)))
