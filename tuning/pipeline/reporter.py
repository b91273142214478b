"""Shows the progress of a search: one line per trial, and a bar with the present state.

With a budget the bar counts its time, search and finals in one; without, the planned epochs, or the trials if the
number of epochs is unknown.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Set
from time import monotonic
from typing import Any

from tuning.core.progress import Bar, Progress
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, epochs_of
from tuning.engine.budget import duration
from tuning.pipeline.timing import Clock, Timing

#: Least seconds between two lines about the epochs of final trainings.
PACE = 10.0


@contextlib.contextmanager
def time_bar(progress: Progress, description: str, time: Clock) -> Iterator[Bar]:
    """Opens a bar over the whole time of a budget, at the time already spent."""
    with progress.bar(time.budget, description, "second", noted=True) as bar:
        bar.reach(time.budget - time.left())
        yield bar


class ProgressReporter:
    """Reports what happens in a search; decides nothing. To be used in a `with` block.

    Args:
        timing: has the measured epochs.
        planned: (trials, epochs) that the search will take, each None if unknown.
        time: clock of the budget; None: there is none.
        counts: returns how many trials have ended, and how many run now; an ended trial is reported in its turn.
        workers: trials at a time.
        final_epochs: epochs of the final trainings, all together.
        before: ids of trials that an earlier start has finished: they are reported together, in one line.
    """

    def __init__(
        self,
        progress: Progress,
        timing: Timing,
        planned: tuple[int | None, int | None],
        time: Clock | None,
        counts: Callable[[], tuple[int, int]],
        workers: int,
        final_epochs: int,
        before: Set[str] = frozenset(),
    ) -> None:
        self._progress, self._timing, self._time = progress, timing, time
        self._planned_trials, self._planned_epochs = planned
        self._counts, self._workers, self._final_epochs = counts, workers, final_epochs
        self._before, self._reported_before = before, 0
        self._done = self._failed = 0
        self._best: tuple[float, str] | None = None
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> ProgressReporter:
        bar: contextlib.AbstractContextManager[Bar]
        if self._time is not None:
            bar = time_bar(self._progress, "search", self._time)
        elif self._planned_epochs is not None or self._planned_trials is None:
            bar = self._progress.bar(self._planned_epochs, "search", "epoch", noted=True)
        else:
            bar = self._progress.bar(self._planned_trials, "search", "trial", noted=True)
        self._bar = self._closing.enter_context(bar)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def epoch(self, key: str, entry: Mapping[str, Any]) -> None:
        """Counts a new entry of a running trial's curve."""
        if key.startswith("trial/"):
            self._timing.epoch(key, entry)
            self.show()

    def completed(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """Reports a trial that has ended, and counts its epochs that were not reported while it ran."""
        self._timing.completed(spec, outcome)
        self._done += 1
        if outcome.status != COMPLETED or outcome.score is None:
            self._failed += 1
        elif self._best is None or outcome.score > self._best[0]:
            self._best = (outcome.score, spec.trial_id)
        if spec.trial_id in self._before:
            self._reported_before += 1
            if self._reported_before == len(self._before):
                text = [f"{self._reported_before} trials were done before", self._best_text(), self._failed_text()]
                self._progress.say(", ".join(filter(None, text)))
        else:
            self._progress.say(f"{self._count()} trial {spec.trial_id}: {_ended(spec, outcome)}")
        self.show()

    def show(self) -> None:
        """Updates the bar."""
        self._bar.note(self.state())
        if self._time is not None:
            self._bar.reach(self._time.budget - self._time.left())
        elif self._planned_epochs is not None or self._planned_trials is None:
            self._bar.reach(self._timing.epochs)
        else:
            self._bar.reach(self._done)

    def state(self) -> str:
        """Returns the present state in a few words, the most important first: a narrow terminal cuts off the rest."""
        ended, running = self._counts()
        done = max(self._done, ended)
        counts = [f"{done} trial{'s' * (done != 1)} done", self._failed_text(), f"{running} running"]
        return " · ".join(filter(None, [self._to_go(), self._best_text(), *counts]))

    def _to_go(self) -> str:
        """Estimates the time left, final training included, if epochs take as long as so far."""
        seconds = self._timing.remaining(self._planned_epochs, self._final_epochs, self._workers)
        left = None if self._time is None else self._time.left()
        if left is not None and (seconds is None or seconds > left):
            return f"{duration(left)} to go"
        return "" if seconds is None else f"about {duration(seconds)} to go"

    def _best_text(self) -> str:
        return f"best {self._best[0]:.4f} (trial {self._best[1]})" if self._best else ""

    def _failed_text(self) -> str:
        return f"{self._failed} failed" if self._failed else ""

    def _count(self) -> str:
        return f"[{self._done}]" if self._planned_trials is None else f"[{self._done}/{self._planned_trials}]"


def _ended(spec: TrialSpec, outcome: TrialOutcome) -> str:
    if outcome.status != COMPLETED or outcome.score is None:
        return f"FAILED: {outcome.failure.message if outcome.failure else 'no score'}"
    went_on = f", continued from {spec.continues}" if spec.continues else ""
    epochs = epochs_of(outcome.curve)
    return f"val_f1_macro {outcome.score:.4f} after {epochs:.4g} epoch{'s' * (epochs != 1)}{went_on}"


class FinalsReporter:
    """Reports what happens in final trainings; decides nothing. To be used in a `with` block.

    Args:
        epochs: most epochs that are still to be trained.
        time: clock of the budget; None: there is none.
        every: epochs of a run per line, unless the last line is less than `PACE` old.
        now: returns the seconds of a clock.
    """

    def __init__(
        self,
        progress: Progress,
        epochs: int,
        time: Clock | None,
        every: int,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._progress, self._time, self._every, self._now = progress, time, every, now
        self._last_line_at = -math.inf
        self._context = (
            progress.bar(epochs, "final training", "epoch")
            if time is None
            else time_bar(progress, "final training", time)
        )

    def __enter__(self) -> FinalsReporter:
        self._bar = self._context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def epoch(self, key: str, entry: Mapping[str, Any]) -> None:
        """Reports a new entry of a run's curve."""
        if self._time is None:
            self._bar.update()
        else:
            left = self._time.left()
            self._bar.note(f"{duration(left)} to go")
            self._bar.reach(self._time.budget - left)
        if entry["epoch"] % self._every == 0 and self._now() - self._last_line_at >= PACE:
            self._last_line_at = self._now()
            figures = ", ".join(f"{name} {_shown(entry[name])}" for name in ("loss", "val_loss", "val_f1_macro"))
            self._progress.say(
                f"  {key.removeprefix('final/')}: epoch {entry['epoch']}, {figures} ({entry['seconds']:.1f} s)"
            )


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4f}"
