"""Which trials are best, compared at equal budgets. Pure: used by the oracles and by the choice of finalists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RankedTrial:
    """What ranking needs to know of a finished trial.

    Attributes:
        trial_id: as in its `TrialSpec`.
        epochs: epochs it was trained for in total, those of the trials it continued included.
        score: the objective; None or not finite where there is none.
        root: the first trial of its configuration; empty where the trial continues none.
    """

    trial_id: str
    epochs: float
    score: float | None
    root: str = ""


def by_number(trial_id: str) -> tuple[int, str]:
    """Sort key of ids that are zero-padded numbers: "9999" comes before "10000"."""
    return len(trial_id), trial_id


def _sign(direction: str) -> int:
    if direction not in ("min", "max"):
        raise ValueError(f'the direction must be "min" or "max", not {direction!r}')
    return -1 if direction == "max" else 1


def best_first(scores: Mapping[str, float], direction: str) -> list[str]:
    """The ids of `scores` from best to worst; ties go to the earlier trial."""
    sign = _sign(direction)
    return sorted(scores, key=lambda trial_id: (sign * scores[trial_id], by_number(trial_id)))


def rank(trials: Sequence[RankedTrial], direction: str) -> list[RankedTrial]:
    """Trials from best to worst: those trained longest come first, the score decides among equals.

    A score after 27 epochs and one after 1 epoch say nothing about each other, so they are never compared. A
    configuration counts once, by its longest trial that has a score. Trials without a finite score are left out.

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
