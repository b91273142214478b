"""How a search looks to the person in front of it: a line a trial, and a bar with what matters now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tuning.core.progress import Bar, Progress
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, epochs_of
from tuning.engine.budget import duration
from tuning.engine.loop import trial_key
from tuning.trials.plan import epochs_trained


class Watch:
    """Follows a search. Nothing it knows has an influence on any result.

    Args:
        planned: (trials, epochs) that the search will take, each None where nobody knows.
        left: seconds that the budget leaves for trials, or None without a budget.
        workers: trials at a time.
        final_epochs: epochs that follow the search, each at its own worker's pace.
        slices: parts that the first epoch of a training has.
    """

    def __init__(
        self,
        progress: Progress,
        bar: Bar,
        planned: tuple[int | None, int | None],
        left: Callable[[], float | None],
        workers: int,
        final_epochs: int,
        slices: int = 1,
    ) -> None:
        self._progress, self._bar, self._left = progress, bar, left
        self._planned_trials, self._planned_epochs = planned
        self._workers, self._final_epochs, self._slices = workers, final_epochs, slices
        self._done = self._failed = 0
        self._best: tuple[float, str] | None = None
        self._rung = ""
        self._seen: Counter[str] = Counter()
        #: Epochs seen so far, and how long each of them took; a part of one counts as much of it.
        self._epochs: float = 0
        self.seconds: list[float] = []
        self.running: Callable[[], int] = lambda: 0

    def epoch(self, key: str, entry: Mapping[str, Any]) -> None:
        """A new entry of a running trial's curve."""
        if not key.startswith("trial/"):
            return
        share = self._share(entry)
        self.seconds.append(entry["seconds"] / share)
        self._epochs += share
        self._seen[key] += 1
        self._bar.update(share)
        self._bar.note(self.state())

    def told(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """A trial is over; one that comes from the journal is counted now, its epochs were not seen to pass."""
        before = epochs_trained(spec.initial_epoch, self._slices)
        own = [entry for entry in outcome.curve if entry["epoch"] > before]
        unseen = own[self._seen[trial_key(spec.trial_id)] :]
        shares = [self._share(entry) for entry in unseen]
        self._epochs += sum(shares)
        self._bar.update(sum(shares))
        lasted = outcome.seconds[len(outcome.seconds) - len(unseen) :] if unseen else ()
        self.seconds += [seconds / share for seconds, share in zip(lasted, shares, strict=False)]
        self._done += 1
        bracket, rung = spec.values.get("tuner/bracket"), spec.values.get("tuner/round")
        self._rung = "" if bracket is None else f"bracket {bracket}, rung {rung}"
        if outcome.status != COMPLETED:
            self._failed += 1
            self._progress.say(f"{self._count()} trial {spec.trial_id}: FAILED: {outcome.failure.message}")
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
        counts = f"{self._done} done, {self.running()} running, {self._failed} failed"
        left = self._left()
        budget = "" if left is None else f"budget for trials: {duration(left)}"
        return " · ".join(filter(None, [best, self._forecast(), budget, counts, self._rung]))

    def _share(self, entry: Mapping[str, Any]) -> float:
        return 1 if entry["epoch"] > 1 else 1 / self._slices

    def _forecast(self, before: str = "") -> str:
        """How much longer it takes, final training included, if epochs go on to take what they took."""
        if self._planned_epochs is None or not self.seconds:
            return ""
        epochs = max(0, self._planned_epochs - self._epochs) + self._final_epochs
        return f"{before}about {duration(epochs * sum(self.seconds) / len(self.seconds) / self._workers)} to go"

    def _count(self) -> str:
        return f"[{self._done}]" if self._planned_trials is None else f"[{self._done}/{self._planned_trials}]"
