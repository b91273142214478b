"""How a search looks to the person in front of it: a line a trial, and a bar with what matters now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuning.core.progress import Bar, Progress
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, epochs_of
from tuning.engine.budget import duration
from tuning.pipeline.timing import Timing


class ProgressReporter:
    """Tells what happens in a search; decides nothing.

    Args:
        timing: has the measured epochs.
        planned: (trials, epochs) that the search will take, each None where nobody knows.
        left: seconds that the budget leaves for trials, or None without a budget.
        running: how many trials run now.
        workers: trials at a time.
        final_epochs: epochs that follow the search, each at its own worker's pace.
        budget_left: seconds of the whole budget that are left, or None without one.
    """

    def __init__(
        self,
        progress: Progress,
        bar: Bar,
        timing: Timing,
        planned: tuple[int | None, int | None],
        left: Callable[[], float | None],
        running: Callable[[], int],
        workers: int,
        final_epochs: int,
        budget_left: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._progress, self._bar, self._timing = progress, bar, timing
        self._planned_trials, self._planned_epochs = planned
        self._left, self._running = left, running
        self._workers, self._final_epochs, self._budget_left = workers, final_epochs, budget_left
        self._done = self._failed = 0
        self._best: tuple[float, str] | None = None
        self._rung = ""

    def epoch(self, key: str, entry: Mapping[str, Any]) -> None:
        """A new entry of a running trial's curve."""
        if key.startswith("trial/"):
            self._bar.update(self._timing.epoch(key, entry))
            self._bar.note(self.state())

    def completed(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """A trial has ended; what the journal knew of it counts now."""
        self._bar.update(self._timing.completed(spec, outcome))
        self._done += 1
        bracket, rung = spec.values.get("tuner/bracket"), spec.values.get("tuner/round")
        self._rung = "" if bracket is None else f"bracket {bracket}, rung {rung}"
        if outcome.status != COMPLETED or outcome.score is None:
            self._failed += 1
            message = outcome.failure.message if outcome.failure else "no score"
            self._progress.say(f"{self._count()} trial {spec.trial_id}: FAILED: {message}")
            return
        if self._best is None or outcome.score > self._best[0]:
            self._best = (outcome.score, spec.trial_id)
        went_on = f", went on from {spec.continues}" if spec.continues else ""
        epochs = epochs_of(outcome.curve)
        self._bar.note(self.state())
        self._progress.say(
            f"{self._count()} trial {spec.trial_id}: val_f1_macro {outcome.score:.4f} "
            f"after {epochs:.4g} epoch{'s' * (epochs != 1)}{went_on}{self._forecast(' · ')}"
        )

    def state(self) -> str:
        """The present state in a few words; what matters most comes first, because a narrow terminal cuts the rest."""
        best = f"best {self._best[0]:.4f} (trial {self._best[1]})" if self._best else "no trial finished yet"
        counts = f"{self._done} done, {self._running()} running, {self._failed} failed"
        left = self._left()
        budget = "" if left is None else f"budget for trials: {duration(left)}"
        return " · ".join(filter(None, [best, self._forecast(), budget, counts, self._rung]))

    def _forecast(self, before: str = "") -> str:
        """How much longer it takes, final training included, if epochs go on to take what they took."""
        seconds = self._timing.remaining(self._planned_epochs, self._final_epochs, self._workers)
        left = self._budget_left()
        if left is not None and (seconds is None or seconds > left):
            return f"{before}{duration(left)} to go"
        return "" if seconds is None else f"{before}about {duration(seconds)} to go"

    def _count(self) -> str:
        return f"[{self._done}]" if self._planned_trials is None else f"[{self._done}/{self._planned_trials}]"
