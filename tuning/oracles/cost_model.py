"""Predicts the cost of a configuration from configurations with known costs. Pure.

Costs are counted per training image (see `tuning.trials.cost`), never measured: a search must not depend on a clock.
Source of the idea: Snoek, Larochelle, Adams, "Practical Bayesian Optimization of Machine Learning Algorithms", NIPS
2012, section 3.2 (expected improvement per unit of a modelled log cost).
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Share of the reference's cost that every training has, whatever its model: feeding images, starting operations.
FIXED = 0.1
#: Ridge penalty: weight of the prior that no feature matters, in observations.
RIDGE = 1e-2
#: How far a prediction may lie outside the range of known log costs.
BEYOND = np.log(4.0)


class CostModel:
    """Ridge regression of the log cost on features and their squares: costs are products of widths and depths.

    Args:
        features: (n, f), in about [0, 1].
        costs: (n,) multiply-adds per image, above 0.
        reference: the cost in multiply-adds that counts as 1, such as that of the default configuration.
    """

    def __init__(self, features: np.ndarray, costs: np.ndarray, reference: float) -> None:
        self._weights: np.ndarray | None = None
        if len(costs) < 2:
            return
        targets = np.log(costs / reference)
        self._middle = float(targets.mean())
        self._range = targets.min() - BEYOND, targets.max() + BEYOND
        columns = _columns(features)
        self._centre = columns.mean(axis=0)
        columns = columns - self._centre
        penalty = RIDGE * np.eye(columns.shape[1])
        self._weights = np.linalg.solve(columns.T @ columns + penalty, columns.T @ (targets - self._middle))

    def relative(self, features: np.ndarray) -> np.ndarray:
        """Returns training costs (m,) for features (m, f), relative to the reference; 1 if fewer than two are known."""
        if self._weights is None:
            return np.ones(len(features))
        logarithm = self._middle + (_columns(features) - self._centre) @ self._weights
        return with_fixed(np.exp(np.clip(logarithm, *self._range)))


def with_fixed(ratio: Any) -> Any:
    """Returns the relative cost of two trainings whose multiply-adds have the ratio `ratio`."""
    return FIXED + (1.0 - FIXED) * ratio


def _columns(features: np.ndarray) -> np.ndarray:
    return np.hstack([features, (features - 0.5) ** 2])
