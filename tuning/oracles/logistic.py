"""How likely a configuration works, from those that did and did not: a logistic regression. Pure.

What is larger than something that was too large does not work either, which no model of neighbourhoods knows.
"""

from __future__ import annotations

import numpy as np

#: Deviation of the normal prior of each slope: over the whole of a feature, odds may well change by a factor of 100.
SLOPE = 5.0
STEPS = 25


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


def _columns(features: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(features), 1)), features - 0.5])


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0)))
