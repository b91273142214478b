"""The completed trials of a search, ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuning.core.records import TrialOutcome, TrialSpec
from tuning.oracles.ranking import RankedTrial, rank

OBJECTIVE = ("val_f1_macro", "max")

Completed = tuple[TrialSpec, TrialOutcome]


def ranked(completed: Iterable[Completed]) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """Completed trials with their values, best first, compared at equal budgets; `completed` in any order."""
    completed = list(completed)
    values = {spec.trial_id: spec.values for spec, _ in completed}
    trials = [
        RankedTrial(spec.trial_id, spec.epochs or len(outcome.curve), outcome.score, spec.root)
        for spec, outcome in completed
    ]
    return [(trial, values[trial.trial_id]) for trial in rank(trials, OBJECTIVE[1])]


def leading(completed: Iterable[Completed], count: int) -> list[Completed]:
    """Those trials that the best `count` configurations are ranked by; with them, later ones are ranked like with all.

    A configuration only ever rises, by a longer training: one that so many others are ahead of does not come back
    without a trial of its own.
    """
    completed = list(completed)
    best = {trial.trial_id for trial, _ in ranked(completed)[:count]}
    return [entry for entry in completed if entry[0].trial_id in best]


def with_recommended(
    best_first: list[tuple[RankedTrial, Mapping[str, Any]]], root: str | None, top_k: int
) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """The first `top_k` of them; where these are two or more, the configuration that the strategy recommends included.

    A strategy with a model may expect more of one that has not been trained as long as others: say, because the budget
    ended.

    Args:
        root: the first trial of the chain that is recommended; None: none is.
    """
    chosen = best_first[:top_k]
    later = [entry for entry in best_first[top_k:] if (entry[0].root or entry[0].trial_id) == root]
    return [*chosen[:-1], later[0]] if later and top_k > 1 else chosen
