"""From the records of a journal to the history of its search. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.core.records import COMPLETED, TrialSpec, configuration
from tuning.engine.loop import outcome_of, trial_key
from tuning.engine.state import Record, SearchState, replay
from tuning.history.records import Configuration, FinalRun, History, Parameter, Point, Step, Trial, last_epoch
from tuning.trials.plan import epochs_trained

_TRIALS = trial_key("")
#: Ranges with fewer steps than this are shown value by value.
_SHORT = 12
_BRACKET = "tuner/bracket"


def read_history(records: Sequence[Record], slices: int = 1) -> History:
    """The history that a journal's records tell.

    Args:
        slices: parts that the first epoch is trained in; the budgets of trials are counted in them.

    Raises:
        StateError: they contradict each other.
    """
    state = replay(records)
    ended = _ended(records)
    trials = tuple(_trial(TrialSpec(**asked), state, ended, slices) for asked in state.asks)
    described = _described(state)
    spent = state.others.get("spent", ())
    return History(
        trials=trials,
        configurations=_configurations(trials),
        steps=_steps(trials, _times(records, ended)),
        parameters=_parameters([*described.get("space", ()), *_found_later(state)]),
        defaults=configuration(described.get("defaults", {})),
        finals=_finals(state),
        openings=len(state.others.get("test-opened", ())),
        seconds=sum(record["seconds"] for record in spent) if spent else None,
        stopped=state.first("stopped") is not None,
    )


def _ended(records: Iterable[Record]) -> dict[str, int]:
    """Key of every ended trial -> its place among them, in the order they ended."""
    keys = (record["key"] for record in records if record["type"] == "result")
    return {key: place for place, key in enumerate(key for key in keys if key.startswith(_TRIALS))}


def _described(state: SearchState) -> Mapping[str, Any]:
    for key in ("describe", "describe-default"):
        job = state.jobs.get(key)
        if job and job.result and "error" not in job.result:
            return job.result
    return {}


def _found_later(state: SearchState) -> Iterable[Mapping[str, Any]]:
    """Hyperparameters that a builder declared only in some trial."""
    for key, job in state.jobs.items():
        if key.startswith(_TRIALS) and job.result:
            yield from job.result.get("space", ())


def _trial(spec: TrialSpec, state: SearchState, ended: Mapping[str, int], slices: int) -> Trial:
    key = trial_key(spec.trial_id)
    # A first epoch in parts has an entry for each of them, every later epoch one.
    inherited = min(spec.initial_epoch, slices) + max(0, spec.initial_epoch // slices - 1)
    job = state.jobs.get(key)
    about = {
        "trial_id": spec.trial_id,
        "root": spec.root or spec.trial_id,
        "values": configuration(spec.values),
        "epochs": epochs_trained(spec.epochs, slices) if spec.epochs else None,
        "inherited": inherited,
        "continues": spec.continues,
        "bracket": spec.values.get(_BRACKET),
    }
    if job is None or job.result is None:
        return Trial(**about)
    outcome = outcome_of(spec, job.result)
    return Trial(
        **about,
        score=outcome.score if outcome.status == COMPLETED else None,
        curve=tuple(
            Point(entry.get("epoch", number), finite(entry.get("val_f1_macro")), finite(entry.get("val_loss")))
            for number, entry in enumerate(outcome.curve, start=1)
        ),
        # The worker counts from the chain's first epoch.
        seconds=sum(outcome.seconds[inherited:] if spec.continues else outcome.seconds),
        failure=outcome.failure,
        done=ended[key],
    )


def finite(value: Any) -> float | None:
    """`value` as a float; None where it is none, or not finite."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None


def whole(epochs: float) -> float:
    """A number of epochs without the noise of adding fractions; an integer where it is one."""
    rounded = round(epochs, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def _configurations(trials: Iterable[Trial]) -> tuple[Configuration, ...]:
    chains: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.done is not None:
            chains.setdefault(trial.root, []).append(trial)
    found = []
    for chain in chains.values():
        well = [trial for trial in chain if trial.score is not None]
        longest = max(well or chain, key=lambda trial: last_epoch(trial.curve))
        score = longest.score
        found.append(Configuration(tuple(chain), longest.curve, score, sum(trial.seconds for trial in chain)))
    return tuple(found)


def _times(records: Sequence[Record], ended: Mapping[str, int]) -> list[float | None]:
    """Running time at the end of each trial, by its place among them.

    The journal notes the running time every half minute; the trials that end in between share that interval evenly.
    Those after the last note have only its time.
    """
    times: list[float | None] = []
    waiting, total = 0, 0.0
    for record in records:
        if record["type"] == "result" and record["key"] in ended:
            waiting += 1
        elif record["type"] == "spent":
            times += [total + record["seconds"] * (place + 1) / waiting for place in range(waiting)]
            waiting, total = 0, total + record["seconds"]
    return times + [total or None] * waiting


def _steps(trials: Iterable[Trial], times: Sequence[float | None]) -> tuple[Step, ...]:
    steps: list[Step] = []
    epochs, best = 0.0, None
    for trial in sorted((trial for trial in trials if trial.done is not None), key=lambda trial: trial.done):
        epochs += trial.new_epochs
        best = max((score for score in (best, trial.score) if score is not None), default=None)
        steps.append(Step(len(steps) + 1, whole(epochs), times[trial.done], trial.score, best, trial.trial_id))
    return tuple(steps)


def _parameters(space: Iterable[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """One for each name; a name that is declared under several conditions spans all of them."""
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
    return tuple(found.values())


def _parameter(kind: str, config: Mapping[str, Any]) -> Parameter:
    name = config["name"]
    if kind in ("Float", "Int"):
        low, high, step = config["min_value"], config["max_value"], config.get("step")
        step = step or (1 if kind == "Int" else None)
        if config.get("sampling", "linear") == "linear" and step and (high - low) / step < _SHORT:
            return Parameter(name, "choice", tuple(_range(low, high, step)))
        return Parameter(name, "number", low=low, high=high, log=config.get("sampling") in ("log", "reverse_log"))
    choices = {"Choice": config.get("values"), "Boolean": (False, True), "Fixed": (config.get("value"),)}[kind]
    return Parameter(name, "choice", tuple(choices))


def _range(low: float, high: float, step: float) -> Iterable[float]:
    count = math.floor((high - low) / step + 1e-9) + 1
    return (low + place * step if isinstance(step, int) else round(low + place * step, 10) for place in range(count))


def _finals(state: SearchState) -> tuple[FinalRun, ...]:
    published = {record["run_id"] for record in state.others.get("published", ())}
    latest: dict[str, FinalRun] = {}
    for record in state.others.get("test-opened", ()):
        job = state.jobs.get(record["key"])
        result = job.result if job else None
        error = result.get("error") if result else None
        latest[record["run_id"]] = FinalRun(
            record["run_id"], record["purpose"], error, result is not None, record["run_id"] in published
        )
    return tuple(latest.values())
