"""Configurations of a `keras_tuner.HyperParameters` space: defaults, draws, enumeration. No random state anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameter, Int

#: Values that `untried` takes from an interval: enumeration needs a few, and two draws never coincide in practice.
DRAWS_FROM_INTERVAL = 3
#: Significant digits of a stepped value: those that a person writes, 0.3 rather than 0.30000000000000004.
DIGITS = 12
#: What a count of steps in floats may be short of.
_HAIR = 1e-8


def is_active(entry: HyperParameter, values: Mapping[str, Any]) -> bool:
    """Whether all conditions of `entry` hold in `values`."""
    return all(condition.is_active(values) for condition in entry.conditions)


def fill(space: Sequence[HyperParameter], choose: Callable[[HyperParameter], Any]) -> dict[str, Any]:
    """A configuration: `choose(entry)` for every active entry, in the order of declaration."""
    values: dict[str, Any] = {}
    for entry in space:
        if is_active(entry, values):
            values[entry.name] = choose(entry)
    return values


def defaults(space: Sequence[HyperParameter]) -> dict[str, Any]:
    """The configuration that a builder uses when nobody tunes it."""
    return fill(space, lambda entry: entry.default)


def accepts(entry: HyperParameter, value: Any) -> bool:
    """Whether a value lies in the entry's range; a number need not be one of its steps."""
    if isinstance(entry, Fixed):
        return value == entry.value
    if isinstance(entry, Boolean):
        return isinstance(value, bool)
    if isinstance(entry, Choice):
        return value in entry.values
    return isinstance(value, (int, float)) and entry.min_value <= value <= entry.max_value


def ensure_active_values(hyperparameters: keras_tuner.HyperParameters) -> None:
    """Gives missing active entries their defaults and drops inactive ones.

    Keras Tuner's own version draws missing values from an unseeded generator and drops the value of an active entry
    where an inactive one of the same name follows.
    """
    values = hyperparameters.values
    active = set()
    for entry in hyperparameters.space:
        if is_active(entry, values):
            active.add(entry.name)
            values.setdefault(entry.name, entry.default)
    for name in {entry.name for entry in hyperparameters.space} - active:
        values.pop(name, None)


def shallow_copy(hyperparameters: keras_tuner.HyperParameters, values: Mapping[str, Any]):
    """A `HyperParameters` of its own with `values`; the entries, which never change, are shared (50 times faster)."""
    copy = keras_tuner.HyperParameters()
    copy._space.extend(hyperparameters.space)
    for name, entries in hyperparameters._hps.items():
        copy._hps[name] = list(entries)
    copy.values = dict(values)
    return copy


def levels(entry: HyperParameter) -> int | None:
    """How many equally likely values the entry's cumulative probability is cut into; None for an interval.

    Keras Tuner divides floats to count their steps and so misses the largest value of 0, 0.1, …, 0.5.
    """
    if isinstance(entry, Fixed):
        return 1
    if isinstance(entry, Boolean):
        return 2
    if isinstance(entry, Choice):
        return len(entry.values)
    if entry.step is None:
        return None
    if entry.sampling == "linear":
        return math.floor((entry.max_value - entry.min_value) / entry.step + _HAIR) + 1
    return math.floor(math.log(entry.max_value / entry.min_value, entry.step) + _HAIR) + 1


def value_at(entry: HyperParameter, probability: float) -> Any:
    """The entry's value at a cumulative probability in [0, 1), always within its range.

    Keras Tuner's `prob_to_value`, which rounds out of the range for `reverse_log`, and for `levels`.
    """
    if isinstance(entry, (Fixed, Boolean, Choice)):
        return entry.prob_to_value(probability)
    if entry.step is None:
        value = entry.prob_to_value(probability)
    else:
        count = levels(entry)
        value = entry._get_value_by_index(min(int(probability * count), count - 1))
        value = round(value) if isinstance(entry, Int) else float(f"{value:.{DIGITS}g}")
    return min(max(value, entry.min_value), entry.max_value)


def probability_of(entry: HyperParameter, value: Any) -> float:
    """Where `value_at` gives this value, in the middle; one between two steps counts as the step before it."""
    if isinstance(entry, (Fixed, Boolean, Choice)) or entry.step is None:
        return entry.value_to_prob(value)
    if entry.sampling == "linear":
        steps = (value - entry.min_value) / entry.step
    else:
        # Keras Tuner counts the steps of a reversed scale from its largest value.
        from_below = value if entry.sampling == "log" else entry.max_value + entry.min_value - value
        steps = math.log(from_below / entry.min_value, entry.step)
    count = levels(entry)
    return (min(max(math.floor(steps + _HAIR), 0), count - 1) + 0.5) / count


def _values_from(entry: HyperParameter, uniform: Callable[..., float]) -> Iterator[Any]:
    """All values of a finite entry, starting at a drawn one; a few draws from an interval."""
    if isinstance(entry, Float) and entry.step is None:
        count = 1 if entry.min_value == entry.max_value else DRAWS_FROM_INTERVAL
        yield from (value_at(entry, uniform(entry, draw)) for draw in range(count))
        return
    integers = isinstance(entry, Int) and entry.step is None
    count = entry.max_value - entry.min_value + 1 if integers else levels(entry)
    first = int(uniform(entry, 0) * count)
    for offset in range(count):
        index = (first + offset) % count
        yield entry.min_value + index if integers else value_at(entry, (index + 0.5) / count)


def reordered(space: Sequence[HyperParameter], weights: Mapping[str, float]) -> list[HyperParameter]:
    """The entries by the weights of their names, largest first, as far as their conditions allow.

    Of two entries of which one has the other's name, or a condition on it, the one declared first stays first.
    """
    mentioned = [{entry.name, *(condition.name for condition in entry.conditions)} for entry in space]
    before = [
        {j for j in range(i) if space[j].name in mentioned[i] or space[i].name in mentioned[j]}
        for i in range(len(space))
    ]
    left, order = set(range(len(space))), []
    while left:
        free = [i for i in left if before[i].isdisjoint(left)]
        chosen = max(free, key=lambda i: (weights.get(space[i].name, 0), -i))
        left.remove(chosen)
        order.append(space[chosen])
    return order


@dataclass
class _Enumeration:
    """See `enumerate_configurations`."""

    uniform: Callable[..., float]
    known_by: Callable[[Mapping[str, Any]], Collection[str] | None]
    parents: Mapping[str, frozenset[str]]
    looks: int

    def below(
        self, space: Sequence[HyperParameter], values: dict[str, Any]
    ) -> Generator[dict[str, Any], None, Collection[str] | None]:
        """Those that begin with `values`.

        Returns:
            Names whose values are why nothing but what was yielded is to be found here; None: enough was looked at.
        """
        if not space:
            if self.looks == 0:
                return None
            self.looks -= 1
            names = self.known_by(values)
            if names is None:
                yield values
                return values.keys()
            return set(names).union(*(self.parents.get(name, ()) for name in names))
        entry, rest = space[0], space[1:]
        if not is_active(entry, values):
            return (yield from self.below(rest, values))
        reasons: set[str] = set()
        for value in _values_from(entry, self.uniform):
            names = yield from self.below(rest, {**values, entry.name: value})
            if names is None or entry.name not in names:
                return names  # with another value of this entry it is the same
            reasons.update(names)
        return reasons - {entry.name}


def enumerate_configurations(
    space: Sequence[HyperParameter],
    uniform: Callable[..., float],
    known_by: Callable[[Mapping[str, Any]], Collection[str] | None] = lambda values: None,
    looks: int = -1,
) -> Iterator[dict[str, Any]]:
    """Configurations of a finite space, once each, in an order that `uniform(entry, draw)` in [0, 1) decides.

    By conflict-directed backjumping (Prosser, "Hybrid Algorithms for the Constraint Satisfaction Problem",
    Computational Intelligence 9, 1993): where a few values are why a configuration is known, no other with them is
    looked at.

    Args:
        known_by: names by whose values a configuration is known already, which is then left out; None where it is new.
        looks: it is asked at most so often; -1: as often as it takes.
    """
    parents = {entry.name: frozenset[str]() for entry in space}
    for entry in space:  # a condition is about an entry that was declared before
        for condition in entry.conditions:
            parents[entry.name] |= {condition.name} | parents.get(condition.name, frozenset())
    yield from _Enumeration(uniform, known_by, parents, looks).below(list(space), {})
