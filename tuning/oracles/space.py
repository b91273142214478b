"""Configurations of a `keras_tuner.HyperParameters` space: defaults, draws, enumeration. No random state anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, HyperParameter, Int

#: Values that enumeration draws from an interval: it needs only a few, since two draws never coincide in practice.
DRAWS_FROM_INTERVAL = 3
#: Significant digits of a stepped value, as a person would write it: 0.3 rather than 0.30000000000000004.
DIGITS = 12
#: Tolerance for rounding errors when steps are counted in floats.
_TOLERANCE = 1e-8


def is_active(entry: HyperParameter, values: Mapping[str, Any]) -> bool:
    """Returns whether all conditions of `entry` hold in `values`."""
    return all(condition.is_active(values) for condition in entry.conditions)


def fill(space: Sequence[HyperParameter], choose: Callable[[HyperParameter], Any]) -> dict[str, Any]:
    """Returns a configuration: `choose(entry)` for every active entry, in the order of declaration."""
    values: dict[str, Any] = {}
    for entry in space:
        if is_active(entry, values):
            values[entry.name] = choose(entry)
    return values


def defaults(space: Sequence[HyperParameter]) -> dict[str, Any]:
    """Returns the default configuration."""
    return fill(space, lambda entry: entry.default)


def accepts(entry: HyperParameter, value: Any) -> bool:
    """Returns whether a value lies in the entry's range or is its default; a number may lie between two steps."""
    if value == entry.default:
        return True
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


def shallow_copy(
    hyperparameters: keras_tuner.HyperParameters, values: Mapping[str, Any]
) -> keras_tuner.HyperParameters:
    """Returns a new `HyperParameters` with `values`; it shares the entries, which never change (50 times faster)."""
    copy = keras_tuner.HyperParameters()
    copy._space.extend(hyperparameters.space)
    for name, entries in hyperparameters._hps.items():
        copy._hps[name] = list(entries)
    copy.values = dict(values)
    return copy


def levels(entry: HyperParameter) -> int | None:
    """Returns the number of equally likely values of an entry; None for an interval.

    Keras Tuner divides floats to count steps, and so misses the largest value of 0, 0.1, …, 0.5.
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
        return math.floor((entry.max_value - entry.min_value) / entry.step + _TOLERANCE) + 1
    return math.floor(math.log(entry.max_value / entry.min_value, entry.step) + _TOLERANCE) + 1


def value_at(entry: HyperParameter, probability: float) -> Any:
    """Returns the entry's value at a cumulative probability in [0, 1), always within its range.

    Corrects Keras Tuner's `prob_to_value`, which rounds out of the range for `reverse_log` and miscounts `levels`.
    """
    if isinstance(entry, (Fixed, Boolean, Choice)):
        return entry.prob_to_value(probability)
    count = levels(entry)
    if count is None:
        value = entry.prob_to_value(probability)
    else:
        value = entry._get_value_by_index(min(int(probability * count), count - 1))
        value = round(value) if isinstance(entry, Int) else float(f"{value:.{DIGITS}g}")
    return min(max(value, entry.min_value), entry.max_value)


def probability_of(entry: HyperParameter, value: Any) -> float:
    """Inverts `value_at`: returns the middle of the probabilities at which it returns `value`.

    A value between two steps counts as the step below. A default outside the range, such as 0 on a logarithmic scale,
    counts as the nearest end of the range.
    """
    if isinstance(entry, (Fixed, Boolean, Choice)):
        return entry.value_to_prob(value)
    value, count = min(max(value, entry.min_value), entry.max_value), levels(entry)
    if count is None:
        return entry.value_to_prob(value)
    if entry.sampling == "linear":
        steps = (value - entry.min_value) / entry.step
    else:
        # Keras Tuner counts the steps of a reversed scale from its largest value.
        from_below = value if entry.sampling == "log" else entry.max_value + entry.min_value - value
        steps = math.log(from_below / entry.min_value, entry.step)
    return (min(max(math.floor(steps + _TOLERANCE), 0), count - 1) + 0.5) / count


def _values_from(entry: HyperParameter, uniform: Callable[..., float]) -> Iterator[Any]:
    """Yields all values of a finite entry, starting at a drawn one, or a few draws from an interval."""
    integers = isinstance(entry, Int) and entry.step is None
    count = entry.max_value - entry.min_value + 1 if integers else levels(entry)
    if count is None:
        draws = 1 if entry.min_value == entry.max_value else DRAWS_FROM_INTERVAL
        yield from (value_at(entry, uniform(entry, draw)) for draw in range(draws))
        return
    first = int(uniform(entry, 0) * count)
    for offset in range(count):
        index = (first + offset) % count
        yield entry.min_value + index if integers else value_at(entry, (index + 0.5) / count)


def enumerate_configurations(
    space: Sequence[HyperParameter], uniform: Callable[[HyperParameter, int], float]
) -> Iterator[dict[str, Any]]:
    """Yields the configurations of a space, in an order determined by `uniform(entry, draw)` in [0, 1).

    Each interval contributes only a few drawn values.
    """
    if not space:
        yield {}
        return
    *before, last = space
    for values in enumerate_configurations(before, uniform):
        if not is_active(last, values):
            yield values
            continue
        for value in _values_from(last, uniform):
            yield {**values, last.name: value}
