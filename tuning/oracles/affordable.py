"""Predicts which configurations a budget can afford, from configurations whose cost was counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter

from tuning.core.plan import CostLimit
from tuning.oracles.cost_model import CostModel
from tuning.oracles.embedding import Embedding


class Affordable:
    """Predicts for one list of hyperparameter entries which configurations are affordable.

    Args:
        limit: the cost limit of the budget's plan, with counted costs.
        entries: the entries of the space.
    """

    def __init__(self, limit: CostLimit, entries: Sequence[HyperParameter]) -> None:
        self._embedding = Embedding(entries)
        self._tunable = bool(self._embedding.entries)
        if self._tunable:
            rows = np.array([self._embedding.latent(known.values) for known in limit.known])
            costs = np.array([known.cost for known in limit.known])
            self._model = CostModel(self._embedding.features(rows), costs, limit.most)

    def rows(self, latent: np.ndarray) -> np.ndarray:
        """Returns whether the configurations of latent rows (m, d) are affordable, (m,) bool."""
        if not self._tunable:
            return np.ones(len(latent), bool)
        return np.asarray(self._model.relative(self._embedding.features(latent)) <= 1.0)

    def values(self, values: Mapping[str, Any]) -> bool:
        """Returns whether one configuration is affordable."""
        return bool(self.rows(self._embedding.latent(values)[None])[0])
