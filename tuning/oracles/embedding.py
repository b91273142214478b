"""Encodes configurations of a mixed, conditional, log-scaled space as vectors for a surrogate model.

There are two encodings. A latent row has one cumulative probability in [0, 1) per tunable entry; candidates are
generated in this form. Features are what distances are computed on: a centred bucket for each ordered entry (as
`value_to_prob` of Keras Tuner, which undoes logarithmic scales), one-hot columns for unordered choices, and one column
per set of conditions that says whether it holds. Inactive entries are encoded at their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import Choice, Fixed, HyperParameter

from tuning.oracles import space

#: The largest latent value: below 1, so that it falls into the last bucket.
LAST = 1.0 - 1e-9

#: (name, values) of each condition of an entry, which is active where all of them hold.
Conditions = tuple[tuple[str, tuple[Any, ...]], ...]


class Embedding:
    """The encoding of configurations of one list of hyperparameter entries.

    Attributes:
        entries: the tunable entries, one latent column each.
        unordered: (d,) bool, whether the values of an entry have no order.
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
        # For each entry and each condition on its name: at which levels of the entry the condition holds.
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
        """Returns the latent row (d,) of a configuration; inactive or missing entries are at their defaults."""
        return np.array([self._probability(entry, values) for entry in self.entries])

    @staticmethod
    def _probability(entry: HyperParameter, values: Mapping[str, Any]) -> float:
        given = entry.name in values and space.is_active(entry, values)
        # Two entries of the same name may have different ranges.
        given = given and space.accepts(entry, values[entry.name])
        return min(max(space.probability_of(entry, values[entry.name] if given else entry.default), 0.0), LAST)

    def configuration(self, latent: np.ndarray) -> dict[str, Any]:
        """Decodes a latent row (d,) into a configuration of the active entries."""
        return space.fill(self._space, lambda entry: self._value(entry, latent))

    def _value(self, entry: HyperParameter, latent: np.ndarray) -> Any:
        column = self._column.get(id(entry))
        return entry.default if column is None else space.value_at(entry, float(latent[column]))

    def features(self, latent: np.ndarray) -> np.ndarray:
        """Converts latent rows (m, d) to features (m, f)."""
        active, sets = self._activity(latent)
        effective = np.where(active, latent, self._default)
        buckets = np.minimum(np.floor(effective * self._count), self._count - 1.0)
        centred = np.where(self._stepped, (buckets + 0.5) / self._count, effective)
        return np.hstack([centred[:, self._ordered], buckets[:, self._hot] == self._hot_level, *sets])

    def _activity(self, latent: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns which entries are active, (m, d), and for each set of conditions whether it holds, (m, 1)."""
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
                holds = self._holds(entry, column, condition, latent)
                single[condition] = np.where(here, holds, single.get(condition, nothing))
        return active, [sets[conditions][:, None] for conditions in self._sets]

    def _holds(self, entry: HyperParameter, column: int | None, condition: tuple, latent: np.ndarray) -> np.ndarray:
        """Returns whether the entry's value meets a condition, (m,) bool."""
        table = self._holds_at[id(entry), condition]
        if table is None:
            return np.array([self._value(entry, row) in condition[1] for row in latent], bool)
        level = np.zeros(len(latent), int) if column is None else (latent[:, column] * len(table)).astype(int)
        return table[np.minimum(level, len(table) - 1)]

    @staticmethod
    def _by_level(entry: HyperParameter, values: tuple[Any, ...]) -> np.ndarray | None:
        """Returns at which levels of an entry its value is one of `values`, (levels,) bool; None for an interval."""
        if isinstance(entry, Fixed):
            return np.array([entry.default in values])
        count = space.levels(entry)
        if count is None:
            return None
        return np.array([space.value_at(entry, (level + 0.5) / count) in values for level in range(count)])


def _conditions(entry: HyperParameter) -> Conditions:
    return tuple((condition.name, tuple(condition.values)) for condition in entry.conditions)
