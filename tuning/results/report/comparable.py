"""Selects configurations that may be compared: trained for equal epochs, with scores that differ by more than chance.
Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.history.records import History, Parameter
from tuning.results.report.importance import FEWEST, Importance, most_telling
from tuning.trials.bootstrap import TAILS

#: With fewer scores, the interval of a mean is too wide to be useful.
FEWEST_IN_A_GROUP = 3
#: Shown in the later sections that are not drawn.
AS_ABOVE = "Not drawn, for the reason given under Configurations above."
#: Number of groups of equal size for the values of a numeric hyperparameter.
GROUPS = 3


@dataclass(frozen=True)
class Comparable:
    """Scores of configurations after the same number of epochs.

    Attributes:
        epochs: the number of epochs; None if all configurations have the same budget, or there are no scores.
        scores: score by the root trial of the configuration.
        why_not: a sentence that says why the scores are not drawn; empty if they are.
    """

    epochs: float | None
    scores: Mapping[str, float]
    why_not: str = ""

    @property
    def words(self) -> str:
        """Number of configurations and epochs, in words."""
        count = f"{len(self.scores):,} configurations"
        if self.epochs is None:
            return f"{count}, all trained for the same number of epochs"
        return f"{count}, each after {epochs_text(self.epochs)}"


@dataclass(frozen=True)
class Group:
    """Mean score, with its 95 % interval (Student's t), of configurations whose value of a hyperparameter lies in
    [start, end]; for a choice, start and end are both its index."""

    start: float
    end: float
    mean: float
    low: float
    high: float


def comparable(history: History, found: Sequence[Importance]) -> Comparable:
    """Returns the configurations of the budget whose scores the forest explains most reliably; see `importance`."""
    if not found:
        scored = sum(entry.score is not None for entry in history.configurations)
        return Comparable(
            None,
            {},
            f"Of {scored} configurations with a score, fewer than {FEWEST} were trained for equally many epochs, or "
            "all scored alike, so it cannot be told what mattered.",
        )
    chosen = most_telling(found)
    scores = {
        entry.root: score
        for entry in history.configurations
        if (score := entry.score if chosen.epochs is None else entry.score_after(chosen.epochs)) is not None
    }
    return Comparable(chosen.epochs, scores, "" if chosen.tells else not_told(chosen))


def not_told(found: Importance) -> str:
    """Returns the sentence that says why the scores of a budget are not drawn."""
    after = "" if found.epochs is None else f" after {epochs_text(found.epochs)}"
    return (
        f"From the hyperparameters of {found.configurations} configurations, a random forest explains "
        f"{explained_text(found)} of the variance of unseen scores{after}. This may be 0, so it cannot be told what "
        "mattered, and any pattern in a chart could be chance."
    )


def explained_text(found: Importance) -> str:
    return f"{100 * found.explained:.0f} % (90 % interval {100 * found.low:.0f} % to {100 * found.high:.0f} %)"


def epochs_text(epochs: float) -> str:
    return f"{epochs:.4g} epoch{'s' * (epochs != 1)}"


def groups(parameter: Parameter, values: Mapping[str, Any], scores: Mapping[str, float]) -> list[Group]:
    """Groups the scores by the values of one hyperparameter; groups that are too small are left out.

    Args:
        values: root trial of a configuration -> its value; None if the hyperparameter is inactive.
        scores: root trial -> score.
    """
    numbers = {
        root: float(number)
        for root, value in values.items()
        if root in scores and (number := parameter.place(value) if parameter.kind == "choice" else value) is not None
    }
    ordered = sorted(numbers, key=lambda root: (numbers[root], root))
    if parameter.kind == "choice":
        parts = [[root for root in ordered if numbers[root] == place] for place in range(len(parameter.choices))]
    else:
        parts = [list(part) for part in np.array_split(np.array(ordered, dtype=object), GROUPS)]
    return [
        _group([numbers[root] for root in part], np.array([scores[root] for root in part]))
        for part in parts
        if len(part) >= FEWEST_IN_A_GROUP
    ]


def _group(numbers: Sequence[float], scores: np.ndarray) -> Group:
    from scipy.special import stdtrit

    mean, count = float(scores.mean()), len(scores)
    half = float(stdtrit(count - 1, TAILS[1]) * scores.std(ddof=1) / np.sqrt(count))
    return Group(min(numbers), max(numbers), mean, mean - half, mean + half)
