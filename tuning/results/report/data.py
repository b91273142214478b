"""The data of the report's charts and table: configurations with number, rank and shade. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuning.history.records import Configuration, History, Parameter, Trial
from tuning.results.report.evidence import Evidence
from tuning.results.report.importance import Importance, most_telling

#: Most hyperparameters that get an axis and a slice; the most important are chosen.
MOST_AXES = 20
#: Number of shades from the worst to the best score.
SHADES = 8


@dataclass(frozen=True)
class Entry:
    """A configuration on the page.

    Attributes:
        number: number that identifies it in charts, table and script.
        configuration: the configuration.
        score: its score; in `compared_entries`, its score after the common number of epochs.
        trial: id of the trial that names it: the last one that completed.
        rank: a finalist's rank in the search; None if it was not retrained.
        baseline: whether every hyperparameter has its default.
        shade: shade of its score, from 0 to `SHADES` - 1.
    """

    number: int
    configuration: Configuration
    score: float
    trial: str
    rank: int | None
    baseline: bool
    shade: int

    @property
    def role(self) -> str:
        """CSS class of its marks: "reference" for the baseline, "finalist", or else its shade."""
        return "reference" if self.baseline else "finalist" if self.rank else f"s{self.shade}"

    @property
    def about(self) -> str:
        """One-line description."""
        roles = [f"finalist {self.rank}"] * bool(self.rank) + ["the baseline"] * self.baseline
        epochs = f"{self.configuration.epochs:g} epoch{'s' * (self.configuration.epochs != 1)}"
        return f"{', '.join([*roles, f'trial {self.trial}'])}: {self.score:.3f} after {epochs}"


def scored(history: History, runs: Sequence[Evidence]) -> tuple[Entry, ...]:
    """Returns the configurations that have a score, in the order in which they were begun."""
    known = [(entry, entry.score) for entry in history.configurations if entry.score is not None]
    low, high = _range([score for _, score in known])
    ranks = {run.metrics.trial: run.metrics.rank for run in runs if run.metrics.trial}
    return tuple(
        Entry(
            number,
            entry,
            score,
            next(trial.trial_id for trial in reversed(entry.trials) if trial.score is not None),
            next((ranks[trial_id] for trial_id in entry.trial_ids if ranks.get(trial_id)), None),
            entry.values == history.defaults,
            _shade(score, low, high),
        )
        for number, (entry, score) in enumerate(known)
    )


def compared_entries(entries: Sequence[Entry], scores: Mapping[str, float]) -> tuple[Entry, ...]:
    """Returns the entries whose configuration's root trial is in `scores`, each with that score and its shade."""
    low, high = _range(list(scores.values()))
    return tuple(
        replace(entry, score=score, shade=_shade(score, low, high))
        for entry in entries
        if (score := scores.get(entry.configuration.root)) is not None
    )


def _range(scores: Sequence[float]) -> tuple[float, float]:
    """Returns the range of scores to shade, without the lowest twentieth, so that outliers do not compress the rest."""
    ascending = sorted(scores)
    return (ascending[len(ascending) // 20], ascending[-1]) if ascending else (0.0, 1.0)


def _shade(score: float, low: float, high: float) -> int:
    return max(0, min(SHADES - 1, int((score - low) / ((high - low) or 1) * SHADES)))


def ordered(history: History, importances: Sequence[Importance]) -> list[Parameter]:
    """Returns the hyperparameters that vary: the most important first, those without an importance as declared."""
    varied = {entry.name: entry for entry in history.parameters if entry.varies}
    shares = most_telling(importances).shares if importances else ()
    first = [share.name for share in shares if share.name in varied]
    return [varied[name] for name in dict.fromkeys([*first, *varied])]


def rungs(history: History) -> dict[float, list[Trial]]:
    """Returns the ended trials by the number of epochs that they were to reach; empty if that is equal for all."""
    return {
        epochs: [trial for trial in history.trials if trial.epochs == epochs and trial.done is not None]
        for epochs in history.rung_epochs()
    }
