"""How likely a configuration works: that its training does not fail, and leaves chance. Pure.

A logistic regression knows that what is larger than something that was too large does not work either; near the edge,
where the best ones often are, neighbours know more.
"""

from __future__ import annotations

import numpy as np

from tuning.oracles.surrogate import matern

#: Deviation of the normal prior of each slope: over the whole of a feature, odds may well change by a factor of 100.
SLOPE = 5.0
STEPS = 25
#: Length scales of what neighbours say, as shares of the surrogate's; and what the regression counts beside them.
NEAR, OPINION = 0.3, 0.5


class LogisticRegression:
    """Maximum a posteriori logistic regression (Bishop 2006, section 4.3.3: Newton's method).

    Args:
        features: (n, f) in about [0, 1] of trials that ended.
        failed: (n,) bool, those that did not work.
    """

    def __init__(self, features: np.ndarray, failed: np.ndarray) -> None:
        self._weights: np.ndarray | None = None
        if not failed.any():
            return
        columns = _columns(features)
        # Of the intercept nothing is known but that most configurations work.
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
        """(m,) probabilities that the configurations at (m, f) features work; 1 while nothing has failed."""
        if self._weights is None:
            return np.ones(len(features))
        return _logistic(_columns(features) @ self._weights)


class Feasibility:
    """The share of the neighbours that work, weighted by distance, with the regression's opinion among them.

    Args:
        x: (n, f) features of configurations that worked or did not.
        failed: (n,) bool.
    """

    def __init__(self, x: np.ndarray, failed: np.ndarray) -> None:
        self._x, self._worked = x, (~failed).astype(float)
        self._regression = LogisticRegression(_squared(x), failed)

    def probability(self, x: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """(m,) of configurations with features (m, f); `scales` (f,) are the surrogate's."""
        near = matern(x / (NEAR * scales), self._x / (NEAR * scales))
        opinion = OPINION * self._regression.probability(_squared(x))
        return (opinion + near @ self._worked) / (OPINION + near.sum(axis=1))


def _squared(x: np.ndarray) -> np.ndarray:
    """(n, 2 f): features and their squares, so that what works may lie between two bounds."""
    return np.hstack([x, 0.5 + 2.0 * (x - 0.5) ** 2])


def _columns(features: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(features), 1)), features - 0.5])


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0)))
