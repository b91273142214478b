"""Builds the history of a search from the facts of its journal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuning.core.records import COMPLETED, TrialSpec, configuration
from tuning.history.records import Configuration, Facts, History, Parameter, Point, Step, Trial, last_epoch
from tuning.trials.plan import epochs_trained

#: Ranges with fewer steps than this are shown value by value.
_SHORT = 12
_BRACKET = "tuner/bracket"


def history_of(facts: Facts, slices: int = 1, from_base: bool = False) -> History:
    """The history of a search.

    Args:
        slices: number of slices of the first epoch, in which the budgets of trials are counted.
        from_base: whether the search started from a pretrained model.
    """
    places = {trial_id: place for place, trial_id in enumerate(facts.outcomes)}
    trials = tuple(_trial(spec, facts, places, slices) for spec in facts.proposals)
    return History(
        **vars(facts) | ({"defaults": {}} if from_base else {}),
        trials=trials,
        configurations=_configurations(trials),
        steps=_steps(trials, facts),
        parameters=_parameters(facts.space, trials),
    )


def _trial(spec: TrialSpec, facts: Facts, places: Mapping[str, int], slices: int) -> Trial:
    # The curve has one point for each slice of the first epoch, and one for each later epoch.
    inherited = min(spec.initial_epoch, slices) + max(0, spec.initial_epoch // slices - 1)
    trial = Trial(
        trial_id=spec.trial_id,
        root=spec.root or spec.trial_id,
        values=configuration(spec.values),
        epochs=epochs_trained(spec.epochs, slices) if spec.epochs else None,
        inherited=inherited,
        continues=spec.continues,
        bracket=spec.values.get(_BRACKET),
    )
    outcome = facts.outcomes.get(spec.trial_id)
    if outcome is None:
        return trial
    return replace(
        trial,
        score=outcome.score if outcome.status == COMPLETED else None,
        curve=tuple(
            Point(entry.get("epoch", number), finite(entry.get("val_f1_macro")), finite(entry.get("val_loss")))
            for number, entry in enumerate(outcome.curve, start=1)
        ),
        # The worker reports the seconds of all epochs of the configuration.
        seconds=sum(outcome.seconds[inherited:] if spec.continues else outcome.seconds),
        failure=outcome.failure,
        done=places[spec.trial_id],
    )


def finite(value: Any) -> float | None:
    """`value` as a float; None if it is no number, or not finite."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None


def whole(epochs: float) -> float:
    """A number of epochs without rounding errors from adding fractions; an int if it is whole."""
    rounded = round(epochs, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def _configurations(trials: Iterable[Trial]) -> tuple[Configuration, ...]:
    by_root: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.done is not None:
            by_root.setdefault(trial.root, []).append(trial)
    found = []
    for own in by_root.values():
        completed = [trial for trial in own if trial.score is not None]
        longest = max(completed or own, key=lambda trial: last_epoch(trial.curve))
        found.append(Configuration(tuple(own), longest.curve, longest.score, sum(trial.seconds for trial in own)))
    return tuple(found)


def _steps(trials: Iterable[Trial], facts: Facts) -> tuple[Step, ...]:
    by_id = {trial.trial_id: trial for trial in trials}
    steps: list[Step] = []
    epochs: float = 0
    best: float | None = None
    for trial_id, seconds in zip(facts.outcomes, facts.times, strict=True):
        trial = by_id[trial_id]
        epochs += trial.new_epochs
        best = max((score for score in (best, trial.score) if score is not None), default=None)
        steps.append(Step(len(steps) + 1, whole(epochs), seconds, trial.score, best, trial_id))
    return tuple(steps)


def _parameters(space: Iterable[Mapping[str, Any]], trials: Iterable[Trial]) -> tuple[Parameter, ...]:
    """One hyperparameter for each name, which spans all declarations of the name and the values in trials."""
    found: dict[str, Parameter] = {}
    for entry in space:
        new = _parameter(entry["class_name"], entry["config"])
        old = found.get(new.name)
        if old is None or old.kind != new.kind:
            found.setdefault(new.name, new)
            continue
        more = tuple(choice for choice in new.choices if choice not in old.choices)
        low, high = min(old.low, new.low), max(old.high, new.high)
        found[new.name] = Parameter(new.name, new.kind, old.choices + more, low, high, old.log and new.log)
    values = [trial.values for trial in trials]
    return tuple(_with(entry, [own[entry.name] for own in values if entry.name in own]) for entry in found.values())


def _with(parameter: Parameter, values: Sequence[Any]) -> Parameter:
    """A hyperparameter extended by these values: a default may be outside its range, or between its steps."""
    if parameter.kind == "number":
        if all(isinstance(value, int | float) for value in values):
            low, high = min((parameter.low, *values)), max((parameter.high, *values))
            return replace(parameter, low=low, high=high, log=parameter.log and low > 0)
        parameter = Parameter(parameter.name, "choice")
    for value in values:
        if parameter.place(value) is None:
            parameter = replace(parameter, choices=_sorted((*parameter.choices, value)))
    return parameter


def _sorted(choices: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(choices)) if all(isinstance(choice, int | float) for choice in choices) else choices


def _parameter(kind: str, config: Mapping[str, Any]) -> Parameter:
    name = config["name"]
    if kind in ("Float", "Int"):
        low, high, step = config["min_value"], config["max_value"], config.get("step")
        step = step or (1 if kind == "Int" else None)
        if config.get("sampling", "linear") == "linear" and step and (high - low) / step < _SHORT:
            return Parameter(name, "choice", tuple(_range(low, high, step)))
        return Parameter(name, "number", low=low, high=high, log=config.get("sampling") in ("log", "reverse_log"))
    choices: Iterable[Any] = {
        "Choice": config.get("values", ()),
        "Boolean": (False, True),
        "Fixed": (config.get("value"),),
    }[kind]
    return Parameter(name, "choice", tuple(choices))


def _range(low: float, high: float, step: float) -> Iterable[float]:
    count = math.floor((high - low) / step + 1e-9) + 1
    return (low + place * step if isinstance(step, int) else round(low + place * step, 10) for place in range(count))
