"""What may not be exceeded, and what an untried configuration will come to, predicted from those it is known of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuning.oracles.cost_model import CostModel
from tuning.oracles.embedding import Embedding

#: Configurations that a prediction is made from, an even spread of all known ones.
COUNTED = 400


class Bound:
    """A limit on a quantity that configurations differ in, say the memory that training one takes.

    Nothing is ruled out, and nothing computed, before one configuration is known to be beyond the limit: the model, a
    regression of the logarithm, is too crude to be believed far from what it knows.

    Args:
        limit: the most there may be of it; None: no limit.

    Attributes:
        known: (configuration, what it comes to), as they were noted down.
        binding: whether one of them is beyond the limit.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.known: list[tuple[dict[str, Any], float]] = []
        self.binding = False
        self._model: tuple[Embedding, int, CostModel] | None = None

    def note(self, values: Mapping[str, Any], amount: float) -> None:
        """Notes down what a configuration comes to."""
        self.known.append((dict(values), amount))
        self.binding |= self.limit is not None and amount > self.limit

    def keeps(self, embedding: Embedding, rows: np.ndarray) -> np.ndarray:
        """(m,) bool: whether the configurations at latent `rows` (m, d) of `embedding` should be within the limit."""
        if not self.binding or not embedding.entries:
            return np.ones(len(rows), bool)
        if self._model is None or self._model[0] is not embedding or self._model[1] != len(self.known):
            spread = np.unique(np.linspace(0, len(self.known) - 1, COUNTED).astype(int))
            known = [self.known[index] for index in spread]
            features = embedding.features(np.array([embedding.latent(values) for values, _ in known]))
            amounts = np.array([amount for _, amount in known], float)
            self._model = embedding, len(self.known), CostModel(features, amounts, self.limit)
        return self._model[2].relative(embedding.features(rows)) <= 1.0
