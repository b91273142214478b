"""Ranks trials at equal budgets. Pure: used by the oracles and by the choice of finalists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RankedTrial:
    """The properties of a finished trial that its rank depends on.

    Attributes:
        trial_id: as in its `TrialSpec`.
        epochs: epochs it was trained for in total, including those of the trials it continues.
        score: the objective; None or not finite if there is none.
        root: the first trial of its configuration; empty if the trial continues none.
    """

    trial_id: str
    epochs: float
    score: float | None
    root: str = ""


def by_number(trial_id: str) -> tuple[int, str]:
    """Returns a sort key for ids that are zero-padded numbers: "9999" comes before "10000"."""
    return len(trial_id), trial_id


def _sign(direction: str) -> int:
    if direction not in ("min", "max"):
        raise ValueError(f'the direction must be "min" or "max", not {direction!r}')
    return -1 if direction == "max" else 1


def best_first(scores: Mapping[str, float], direction: str) -> list[str]:
    """Returns the ids of `scores` from best to worst; the earlier trial wins a tie."""
    sign = _sign(direction)
    return sorted(scores, key=lambda trial_id: (sign * scores[trial_id], by_number(trial_id)))


def rank(trials: Sequence[RankedTrial], direction: str) -> list[RankedTrial]:
    """Returns trials from best to worst: those trained longest come first, then those with the better score.

    Scores after different numbers of epochs are not comparable, so they are never compared. A configuration counts
    once, by its longest trial with a score. Trials without a finite score are left out.

    Args:
        trials: in any order.
        direction: "max" or "min".
    """
    sign = _sign(direction)
    longest: dict[str, tuple[RankedTrial, float]] = {}
    for trial in trials:
        if trial.score is None or not math.isfinite(trial.score):
            continue
        configuration = trial.root or trial.trial_id
        if configuration not in longest or trial.epochs > longest[configuration][0].epochs:
            longest[configuration] = trial, sign * trial.score
    ordered = sorted(longest.values(), key=lambda entry: (-entry[0].epochs, entry[1], by_number(entry[0].trial_id)))
    return [trial for trial, _ in ordered]
