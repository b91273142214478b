"""Predicts which configurations a budget can pay for, from some whose cost was counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter

from tuning.core.plan import CostLimit
from tuning.oracles.cost_model import CostModel
from tuning.oracles.embedding import Embedding


class Affordable:
    """For one list of hyperparameter entries.

    Args:
        limit: what the budget's plan says.
        entries: of the space.
    """

    def __init__(self, limit: CostLimit, entries: Sequence[HyperParameter]) -> None:
        self._embedding = Embedding(entries)
        self._tunable = bool(self._embedding.entries)
        if self._tunable:
            rows = np.array([self._embedding.latent(known.values) for known in limit.known])
            costs = np.array([known.cost for known in limit.known])
            self._model = CostModel(self._embedding.features(rows), costs, limit.most)

    def rows(self, latent: np.ndarray) -> np.ndarray:
        """(m,) bool of (m, d) latent rows."""
        if not self._tunable:
            return np.ones(len(latent), bool)
        return np.asarray(self._model.relative(self._embedding.features(latent)) <= 1.0)

    def values(self, values: Mapping[str, Any]) -> bool:
        """Of one configuration."""
        return bool(self.rows(self._embedding.latent(values)[None])[0])
