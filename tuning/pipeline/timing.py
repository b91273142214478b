"""Measures how long a search's epochs take; `tuning.pipeline.reporter` shows it.

With a budget, the time decides when the search ends; that moment is journaled (see `tuning.engine.loop`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuning.core.records import TrialOutcome, TrialSpec
from tuning.engine.budget import Stopwatch
from tuning.engine.state import trial_key
from tuning.pipeline.planning import CLOSING_SECONDS
from tuning.trials.plan import epochs_trained

#: Share of the budget in which the finals should end: more than the plan's `TARGET`, as finals that run late are
#: shortened.
FINALS_TARGET = 0.99


@dataclass(frozen=True)
class Clock:
    """The time of a search with a budget, in seconds of running time since its first command, without pauses."""

    budget: float
    stopwatch: Stopwatch

    def left(self) -> float:
        """Returns the seconds until the end of the budget, never negative."""
        return max(0.0, self.budget - self.stopwatch.elapsed())

    def usable(self) -> float:
        """Returns the seconds that trainings may still take."""
        return max(0.0, FINALS_TARGET * self.budget - CLOSING_SECONDS - self.stopwatch.elapsed())


class Timing:
    """Counts epochs and their seconds.

    Args:
        parts: number of parts that the first epoch of a training has; each counts as that fraction of an epoch.

    Attributes:
        epochs: seen so far.
        seconds: how long each of them took, a part scaled to a whole.
    """

    def __init__(self, parts: int = 1) -> None:
        self._parts = parts
        self._seen: Counter[str] = Counter()
        self.epochs: float = 0
        self.seconds: list[float] = []
        self._total = 0.0  # sum of `seconds`

    def epoch(self, key: str, entry: Mapping[str, Any]) -> None:
        """Counts a new entry of a running trial's curve."""
        share = self._share(entry)
        self._seen[key] += 1
        self._add([entry["seconds"]], [share])

    def completed(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """Counts those epochs of an ended trial that were not counted while it ran, such as those from the journal."""
        before = epochs_trained(spec.initial_epoch, self._parts)
        own = [entry for entry in outcome.curve if entry["epoch"] > before]
        unseen = own[self._seen[trial_key(spec.trial_id)] :]
        shares = [self._share(entry) for entry in unseen]
        durations = outcome.seconds[len(outcome.seconds) - len(unseen) :] if unseen else ()
        self._add(durations, shares)

    def remaining(self, planned: int | None, final: int, workers: int) -> float | None:
        """Estimates the seconds for the rest of the planned epochs and `final` ones after them; None if unknown."""
        if planned is None or not self.seconds:
            return None
        epochs = max(0, planned - self.epochs) + final
        return epochs * self._total / len(self.seconds) / workers

    def _add(self, durations: Sequence[float], shares: Sequence[float]) -> None:
        scaled = [seconds / share for seconds, share in zip(durations, shares, strict=False)]
        self.epochs += sum(shares)
        self.seconds += scaled
        self._total += sum(scaled)

    def _share(self, entry: Mapping[str, Any]) -> float:
        return 1 if entry["epoch"] > 1 else 1 / self._parts
