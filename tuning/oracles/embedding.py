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

#: Name and values of each condition: all of them hold where an entry is active.
Conditions = tuple[tuple[str, tuple[Any, ...]], ...]


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
        levels = [space.levels(entry) for entry in self.entries]
        self._levels = levels
        self.unordered = np.array([isinstance(entry, Choice) and not entry.ordered for entry in self.entries], bool)
        self._conditions = {id(entry): _conditions(entry) for entry in entries}
        sets = dict.fromkeys(self._conditions[id(entry)] for entry in entries if entry.conditions)
        self._sets: list[Conditions] = list(sets)
        #: What an entry of a name says of each condition on that name: whether it holds, by level.
        single = dict.fromkeys(condition for conditions in sets for condition in conditions)
        self._single = {name: [condition for condition in single if condition[0] == name] for name, _ in single}
        self._holds_at = {
            (id(entry), condition): self._by_level(entry, condition[1])
            for entry in entries
            for condition in self._single.get(entry.name, ())
        }
        stepped = np.array([float(count or 0) for count in levels])
        self._stepped, self._count = stepped > 0, np.maximum(stepped, 1.0)
        hot = [index for index, count in enumerate(levels) if self.unordered[index] and count is not None and count > 2]
        self._ordered = np.array([index for index in range(len(levels)) if index not in hot], int)
        self._hot = np.array([index for index in hot for _ in range(levels[index] or 0)], int)
        self._hot_level = np.array([level for index in hot for level in range(levels[index] or 0)], float)
        self._default = np.array([self._probability(entry, {}) for entry in self.entries])

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
        active, sets = self._activity(latent)
        standing = np.where(active, latent, self._default)
        buckets = np.minimum(np.floor(standing * self._count), self._count - 1.0)
        centred = np.where(self._stepped, (buckets + 0.5) / self._count, standing)
        return np.hstack([centred[:, self._ordered], buckets[:, self._hot] == self._hot_level, *sets])

    def _activity(self, latent: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """(m, d) which entries are active, and (m, 1) whether each set of conditions holds."""
        active = np.ones(latent.shape, bool)
        if not self._sets:
            return active, []
        single: dict[tuple, np.ndarray] = {}
        sets: dict[Conditions, np.ndarray] = {}
        nothing = np.zeros(len(latent), bool)
        for entry in self._space:
            conditions, column = self._conditions[id(entry)], self._column.get(id(entry))
            here = np.ones(len(latent), bool)
            if conditions:
                if conditions not in sets:
                    sets[conditions] = np.all([single.get(each, nothing) for each in conditions], axis=0)
                here = sets[conditions]
                if column is not None:
                    active[:, column] = here
            for condition in self._single.get(entry.name, ()):
                says = self._says(entry, column, condition, latent)
                single[condition] = np.where(here, says, single.get(condition, nothing))
        return active, [sets[conditions][:, None] for conditions in self._sets]

    def _says(self, entry: HyperParameter, column: int | None, condition: tuple, latent: np.ndarray) -> np.ndarray:
        """(m,) whether the entry's value meets a condition."""
        table = self._holds_at[id(entry), condition]
        if table is None:
            return np.array([self._value(entry, row) in condition[1] for row in latent], bool)
        level = np.zeros(len(latent), int) if column is None else (latent[:, column] * len(table)).astype(int)
        return table[np.minimum(level, len(table) - 1)]

    @staticmethod
    def _by_level(entry: HyperParameter, values: tuple[Any, ...]) -> np.ndarray | None:
        """(levels,) bool; None for an interval."""
        if isinstance(entry, Fixed):
            return np.array([entry.default in values])
        count = space.levels(entry)
        if count is None:
            return None
        return np.array([space.value_at(entry, (level + 0.5) / count) in values for level in range(count)])


def _conditions(entry: HyperParameter) -> Conditions:
    return tuple((condition.name, tuple(condition.values)) for condition in entry.conditions)
