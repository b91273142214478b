"""The completed trials of a search, ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuning.core.records import TrialOutcome, TrialSpec
from tuning.oracles.ranking import RankedTrial, rank
from tuning.pipeline.finals import config_digest

OBJECTIVE = ("val_f1_macro", "max")

Told = tuple[TrialSpec, TrialOutcome]


def ranked(told: Iterable[Told], skip_equal: bool) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """Completed trials with their values, best first, compared at equal budgets.

    Args:
        told: in any order.
        skip_equal: of configurations that differ only in values that nothing looked at, list the best alone.
    """
    told = list(told)
    values = {spec.trial_id: _effective(spec, outcome) if skip_equal else spec.values for spec, outcome in told}
    trials = [
        RankedTrial(spec.trial_id, spec.epochs or len(outcome.curve), outcome.score, spec.root)
        for spec, outcome in told
    ]
    distinct = {}
    for trial in rank(trials, OBJECTIVE[1]):
        key = config_digest("", values[trial.trial_id]) if skip_equal else trial.trial_id
        distinct.setdefault(key, (trial, values[trial.trial_id]))
    return list(distinct.values())


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


def _effective(spec: TrialSpec, outcome: TrialOutcome) -> dict[str, Any]:
    """The values that made a difference."""
    return {name: value for name, value in spec.values.items() if name not in outcome.ignored}
