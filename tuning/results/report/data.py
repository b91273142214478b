"""What the page's charts draw, as compact JSON: one entry a configuration, values as places in their lists. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.history.records import Configuration, History, Parameter
from tuning.results.report.comparable import Comparable, groups
from tuning.results.report.evidence import Evidence
from tuning.results.report.importance import Importance, most_telling

#: Points of all learning curves together; beyond, every so many epochs are shown.
MOST_POINTS = 120_000
#: Hyperparameters that get an axis and a slice, the most important first.
MOST_AXES = 20


def chart_data(
    history: History, importances: Sequence[Importance], runs: Sequence[Evidence], compared: Comparable
) -> dict[str, Any]:
    """The JSON that the scripts read.

    Args:
        compared: the scores that coordinates and slices show.
        importances: what the axes are ordered by.
        runs: the published runs, in the order of the page.
    """
    parameters = [entry for entry in history.parameters if entry.varies]
    stride = -(-sum(len(entry.curve) for entry in history.configurations) // MOST_POINTS) or 1
    ranks = {run.metrics.trial: run.metrics.rank for run in runs if run.metrics.trial}
    longest = max((entry.curve for entry in history.configurations), key=len, default=())
    return {
        "stride": stride,
        # Of every point of the longest curve; all others are beginnings of the same sequence.
        "epochs": [_rounded(point.epoch) for point in longest],
        "parameters": [_parameter(entry) for entry in parameters],
        "order": _order(parameters, importances),
        "budget": _rounded(compared.epochs),
        # Of each parameter: [start, end, mean, low, high] of its groups of values.
        "groups": [_groups(entry, history, compared) for entry in parameters],
        "configurations": [
            _configuration(entry, history, parameters, ranks, stride, compared) for entry in history.configurations
        ],
        "steps": [
            [
                step.trials,
                step.epochs,
                _rounded(step.seconds, 1),
                _rounded(step.score),
                _rounded(step.best),
                step.trial_id,
            ]
            for step in history.steps
        ],
        "brackets": brackets(history),
        "calibrations": [
            [[_rounded(v) for v in (b.low, b.high, b.count, b.confidence, b.accuracy)] for b in run.calibration.bins]
            if run.calibration
            else []
            for run in runs
        ],
    }


def brackets(history: History) -> list[dict[str, Any]]:
    """The rungs of each bracket: [{name, rungs: [{epochs, trials: [[id, root, score]]}]}]; empty without rungs."""
    if not history.rung_epochs():
        return []
    found: dict[int | None, dict[float, list[list[Any]]]] = {}
    for trial in history.trials:
        if trial.done is not None and trial.epochs:
            rungs = found.setdefault(trial.bracket, {})
            rungs.setdefault(trial.epochs, []).append([trial.trial_id, trial.root, _rounded(trial.score)])
    return [
        {
            "name": "all trials" if number is None else f"bracket {number}",
            "rungs": [{"epochs": epochs, "trials": rungs[epochs]} for epochs in sorted(rungs)],
        }
        for number, rungs in found.items()
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind == "choice":
        return {"name": parameter.name, "kind": "choice", "choices": [_word(choice) for choice in parameter.choices]}
    about = {"low": parameter.low, "high": parameter.high, "log": parameter.log and parameter.low > 0}
    return {"name": parameter.name, "kind": "number", **about}


def _word(choice: Any) -> str:
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    if not isinstance(choice, float):
        return str(choice)
    text = f"{choice:.4g}"
    if 0 < abs(choice) < 1e-3:
        # As the scripts write numbers: 1e-4, not 0.0001.
        digits, _, power = f"{choice:.3e}".partition("e")
        text = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return text


def _order(parameters: Sequence[Parameter], importances: Sequence[Importance]) -> list[int]:
    """Places in `parameters`, the most important first, the others as they were declared."""
    places = {entry.name: place for place, entry in enumerate(parameters)}
    shares = most_telling(importances).shares if importances else ()
    first = [places[share.name] for share in shares if share.name in places]
    return [*first, *(place for place in places.values() if place not in first)][:MOST_AXES]


def _configuration(
    entry: Configuration,
    history: History,
    parameters: Sequence[Parameter],
    ranks: Mapping[str, int | None],
    stride: int,
    compared: Comparable,
) -> dict[str, Any]:
    last = len(entry.curve) - 1
    curve = [point for place, point in enumerate(entry.curve) if place % stride == 0 or place == last]
    best = next((t.trial_id for t in reversed(entry.trials) if t.score is not None), entry.trial_ids[-1])
    return {
        "id": best,
        "values": [_value(parameter, entry.values.get(parameter.name)) for parameter in parameters],
        "curve": [_rounded(point.score) for point in curve],
        "loss": [_rounded(point.loss) for point in curve],
        "points": len(entry.curve),
        "score": _rounded(entry.score),
        "compared": _rounded(compared.scores.get(entry.root)),
        "epochs": entry.epochs,
        "seconds": _rounded(entry.seconds, 1),
        "rank": next((ranks[trial_id] for trial_id in entry.trial_ids if ranks.get(trial_id)), None),
        "baseline": entry.values == history.defaults,
    }


def _groups(parameter: Parameter, history: History, compared: Comparable) -> list[list[float | None]]:
    values = {entry.root: entry.values.get(parameter.name) for entry in history.configurations}
    found = groups(parameter, values, compared.scores)
    return [[_rounded(v, 6) for v in (g.start, g.end, g.mean, g.low, g.high)] for g in found]


def _value(parameter: Parameter, value: Any) -> Any:
    return value if parameter.kind == "number" else parameter.place(value)


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
