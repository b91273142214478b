"""Turns hyperparameter values as given into a complete configuration of a described space."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tuning.core.errors import UsageError
from tuning.core.jobs import Description, Values
from tuning.core.records import configuration

#: Prefix of the columns of hyperparameters in `trials_frame`.
COLUMN = "hp."


def as_text(given: Mapping[str, Any]) -> dict[str, str]:
    """Converts hyperparameter values in Python to text, as typed on the command line.

    Args:
        given: values by name, with or without Keras Tuner's `tuner/…`; or a row of `trials_frame`.

    Raises:
        UsageError: it is something else.
    """
    if not hasattr(given, "items") or getattr(given, "ndim", 1) != 1:
        raise UsageError(
            f"values is a {type(given).__name__}",
            "give values by name, such as result.best_values, the .values of Keras Tuner's HyperParameters, or one row "
            'of trials_frame, such as trials.loc["0001"]',
        )
    values = {str(name): value for name, value in given.items()}
    if "status" in values and any(str(name).startswith(COLUMN) for name in values):
        import pandas

        values = {
            name.removeprefix(COLUMN): value
            for name, value in values.items()
            if name.startswith(COLUMN) and not pandas.isna(value)
        }
    return {name: str(value) for name, value in configuration(values).items()}


def completed(description: Description, given: Mapping[str, str]) -> Values:
    """Returns the value of every active hyperparameter: the given ones parsed, the others at their defaults.

    Args:
        description: of the space.

    Raises:
        UsageError: unknown name, value outside the range, or a hyperparameter that the others make inactive.
    """
    from keras_tuner import HyperParameters

    # A copy: `from_config` changes its argument.
    space = HyperParameters.from_config({"space": copy.deepcopy(description.space), "values": {}})
    names = sorted({parameter.name for parameter in space.space})
    for name in given:
        if name not in names:
            raise UsageError(f"unknown hyperparameter {name!r}", f"use one of {', '.join(names)}")
    result = HyperParameters()
    for parameter in space.space:
        result.merge([parameter])
        if not result.is_active(parameter):
            continue
        name = parameter.name
        result.values[name] = parsed(parameter, given[name]) if name in given else parameter.default
    if inactive := sorted(set(given) - set(result.values)):
        raise UsageError(
            f"hyperparameter {inactive[0]!r} has no effect with these values",
            "leave it out, or change its parent; with --from-trial, give with --hp alone what you want of that trial",
        )
    return dict(result.values)


def parsed(parameter: Any, text: str) -> Any:
    """Returns the value that `text` stands for, as a value of a Keras Tuner hyperparameter.

    Raises:
        UsageError: it is neither in the hyperparameter's range nor its default.
    """
    kind = type(parameter).__name__
    if _means(text, parameter.default):
        return parameter.default
    if kind in ("Choice", "Boolean", "Fixed"):
        valid = [parameter.value] if kind == "Fixed" else parameter.values if kind == "Choice" else [True, False]
        # Two choices may differ in case alone: matches that ignore the case come last.
        alike = [value for value in valid if text.lower() == str(value).lower()]
        if kind == "Choice" and set(valid) == {0, 1}:
            # Keras Tuner stores a choice of True and False as 1 and 0.
            alike += [value for value in valid if text.lower() == str(bool(value)).lower()]
        if found := [value for value in valid if _means(text, value)] + alike:
            return found[0]
        raise UsageError(f"hyperparameter {parameter.name} is {text!r}", f"use one of {', '.join(map(str, valid))}")
    number = _number(text)
    if number is None or not parameter.min_value <= number <= parameter.max_value:
        raise UsageError(
            f"hyperparameter {parameter.name} is {text!r}",
            f"give a number from {parameter.min_value} to {parameter.max_value}",
        )
    if kind == "Int" and number != int(number):
        raise UsageError(f"hyperparameter {parameter.name} is {text!r}", "give a whole number")
    return int(number) if kind == "Int" else number


def _means(text: str, value: Any) -> bool:
    return text == str(value) or (_number(text) == value and not isinstance(value, str | bool))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
