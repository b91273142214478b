"""Configurations as points: what a surrogate model sees of a mixed, conditional, log-scaled space.

Two forms: a latent row has one cumulative probability in [0, 1) for each tunable entry, which is what candidates are
made of; features are what distances are measured in: a centred bucket for ordered entries (as `value_to_prob` of Keras
Tuner, which undoes logarithmic scales), one-hot columns for unordered choices, and a column that says whether each set
of conditions holds. An inactive entry stands at its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import Choice, Fixed, HyperParameter

from tuning.oracles import space

#: The largest latent value: below 1, so that it never leaves the last bucket.
LAST = 1.0 - 1e-9


class Embedding:
    """For one list of hyperparameter entries.

    Attributes:
        entries: the tunable ones, one latent column each.
        unordered: (d,) bool, entries whose values have no order.
    """

    def __init__(self, entries: Sequence[HyperParameter]) -> None:
        self._space = list(entries)
        self.entries = [entry for entry in entries if not isinstance(entry, Fixed)]
        self._column = {id(entry): index for index, entry in enumerate(self.entries)}
        self._levels = [space.levels(entry) for entry in self.entries]
        self._parents = {condition.name for entry in entries for condition in entry.conditions}
        self.unordered = np.array([isinstance(entry, Choice) and not entry.ordered for entry in self.entries], bool)

    def latent(self, values: Mapping[str, Any]) -> np.ndarray:
        """(d,) of a configuration; entries that are inactive or unknown to it stand at their defaults."""
        return np.array([self._probability(entry, values) for entry in self.entries])

    @staticmethod
    def _probability(entry: HyperParameter, values: Mapping[str, Any]) -> float:
        known = entry.name in values and space.is_active(entry, values)
        # Of two entries of one name, each has values of its own.
        known = known and space.accepts(entry, values[entry.name])
        return min(max(space.probability_of(entry, values[entry.name] if known else entry.default), 0.0), LAST)

    def configuration(self, latent: np.ndarray) -> dict[str, Any]:
        """The configuration at a latent row (d,); only active entries are in it."""
        return space.fill(self._space, lambda entry: self._value(entry, latent))

    def _value(self, entry: HyperParameter, latent: np.ndarray) -> Any:
        column = self._column.get(id(entry))
        return entry.default if column is None else space.value_at(entry, float(latent[column]))

    def features(self, latent: np.ndarray) -> np.ndarray:
        """(m, d) latent rows to (m, f) features."""
        columns: list[np.ndarray] = []
        conditions: dict[tuple, np.ndarray] = {}
        named: dict[str, np.ndarray] = {}
        always = np.ones(len(latent), bool)
        for entry in self._space:
            active = always
            if entry.conditions:
                key = tuple((condition.name, tuple(condition.values)) for condition in entry.conditions)
                if key not in conditions:
                    conditions[key] = self._holds(entry.conditions, named, always)
                active = conditions[key]
            if entry.name in self._parents:
                values = self._values(entry, latent)
                named[entry.name] = np.where(active, values, named.get(entry.name, np.full(len(latent), None)))
            if id(entry) in self._column:
                columns.extend(self._columns(entry, latent, active))
        columns.extend(holds.astype(float) for holds in conditions.values())
        return np.column_stack(columns)

    @staticmethod
    def _holds(conditions: Sequence[Any], named: Mapping[str, np.ndarray], always: np.ndarray) -> np.ndarray:
        holds = always
        for condition in conditions:
            values = named.get(condition.name, np.full(len(always), None))
            holds = holds & np.fromiter((value in condition.values for value in values), bool, len(always))
        return holds

    def _values(self, entry: HyperParameter, latent: np.ndarray) -> np.ndarray:
        values = np.empty(len(latent), object)
        column = self._column.get(id(entry))
        levels = None if column is None else self._levels[column]
        if column is None or levels is None:
            values[:] = [self._value(entry, row) for row in latent]
            return values
        table = np.empty(levels, object)
        table[:] = [space.value_at(entry, (level + 0.5) / levels) for level in range(levels)]
        return table[np.minimum((latent[:, column] * levels).astype(int), levels - 1)]

    def _columns(self, entry: HyperParameter, latent: np.ndarray, active: np.ndarray) -> list[np.ndarray]:
        column = self._column[id(entry)]
        probability = np.where(active, latent[:, column], self._probability(entry, {}))
        levels = self._levels[column]
        if levels is None:
            return [probability]
        bucket = np.minimum(np.floor(probability * levels), levels - 1)
        if self.unordered[column] and levels > 2:
            return [(bucket == level).astype(float) for level in range(levels)]
        return [(bucket + 0.5) / levels]
