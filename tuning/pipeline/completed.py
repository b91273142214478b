"""The completed trials of a search, ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuning.core.records import TrialOutcome, TrialSpec
from tuning.oracles.ranking import RankedTrial, rank

OBJECTIVE = ("val_f1_macro", "max")

Completed = tuple[TrialSpec, TrialOutcome]


def ranked(completed: Iterable[Completed]) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """Returns trials with their values, best first, compared at equal budgets; `completed` may be in any order."""
    completed = list(completed)
    values = {spec.trial_id: spec.values for spec, _ in completed}
    trials = [
        RankedTrial(spec.trial_id, spec.epochs or len(outcome.curve), outcome.score, spec.root)
        for spec, outcome in completed
    ]
    return [(trial, values[trial.trial_id]) for trial in rank(trials, OBJECTIVE[1])]


def leading(completed: Iterable[Completed], count: int) -> list[Completed]:
    """Returns the trials by which the best `count` configurations rank; to rank these among later trials, they suffice.

    A configuration only ever rises, by a longer training: one with `count` others ahead of it does not come back
    without a new trial of its own.
    """
    completed = list(completed)
    best = {trial.trial_id for trial, _ in ranked(completed)[:count]}
    return [entry for entry in completed if entry[0].trial_id in best]


def with_recommended(
    best_first: list[tuple[RankedTrial, Mapping[str, Any]]], root: str | None, top_k: int
) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """Returns the first `top_k`; if that is two or more, the configuration that the strategy recommends is among them.

    A strategy with a model may recommend one that has not been trained as long as others, for example because the
    budget ended.

    Args:
        root: the first trial of the recommended configuration; None: no recommendation.
    """
    chosen = best_first[:top_k]
    later = [entry for entry in best_first[top_k:] if (entry[0].root or entry[0].trial_id) == root]
    return [*chosen[:-1], later[0]] if later and top_k > 1 else chosen
