"""Times of the events in a search, from watching its journal, whose entries have no timestamps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tuning.engine.journal import decode

_TRIAL = "trial/"


@dataclass
class TrialRun:
    """The attempt of a trial that led to a result; times are in seconds of the watch's `clock`.

    Attributes:
        began, ended: when the attempt and the result appeared in the journal.
        curve: entries of the epochs of this trial, without those of the trial that it continues.
        seconds: of training and validation in each of these epochs, measured by the worker.
        inherited: epochs of the trial that it continues.
    """

    trial_id: str
    began: float
    ended: float
    curve: list[dict[str, Any]]
    seconds: list[float]
    inherited: float = 0.0

    @property
    def epochs(self) -> float:
        """Epochs that this trial trained; a fraction if training ended within the first epoch."""
        return self.curve[-1]["epoch"] - self.inherited if self.curve else 0.0

    def epoch_ends(self) -> list[float]:
        """Return when each epoch ended; the time between the last epoch and the result counts as part of that epoch."""
        return [self.ended - sum(self.seconds[index + 1 :]) for index in range(len(self.seconds))]

    def steps(self) -> float:
        """Return the seconds in training and validation steps alone: epochs × the median of all but the first.

        The first epoch also includes tracing and compiling.

        Raises:
            ValueError: the trial has fewer than two epochs.
        """
        if len(self.seconds) < 2:
            raise ValueError(f"trial {self.trial_id} has fewer than two epochs")
        return len(self.seconds) * median(self.seconds[1:])


@dataclass
class JournalWatch:
    """Records when each entry of a journal appears; `look` has to be called every few milliseconds.

    Args:
        path: the journal; it need not exist yet.
        clock: returns the time in seconds.
    """

    path: Path
    clock: Callable[[], float] = time.monotonic
    records: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    _position: int = 0

    def look(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        now = self.clock()
        self.records += [(now, record) for line in whole.splitlines() if (record := decode(line)) is not None]

    def trials(self) -> list[TrialRun]:
        """Return the trials with a result, in the order in which they ended; failed ones are left out."""
        asked: dict[str, dict[str, Any]] = {}
        began: dict[str, float] = {}
        lengths: dict[str | None, int] = {}
        found = []
        for now, record in self.records:
            if record["type"] == "ask":
                asked[_TRIAL + record["trial"]["trial_id"]] = record["trial"]
            elif record["type"] == "attempt":
                began[record["key"]] = now
            elif record["type"] == "result" and record["key"] in asked and "error" not in record["result"]:
                trial, result = asked[record["key"]], record["result"]
                lengths[trial["trial_id"]] = len(result["curve"])
                before = lengths.get(trial["continues"], 0)
                curve, seconds = result["curve"][before:], result["seconds"][before:]
                inherited = result["curve"][before - 1]["epoch"] if before else 0.0
                found.append(TrialRun(trial["trial_id"], began[record["key"]], now, curve, seconds, inherited))
        return found


def reached(trials: list[TrialRun], target: float) -> float | None:
    """Return the end of the first epoch, of any trial, whose `val_f1_macro` was at least `target`; None if none was."""
    moments = [
        moment
        for trial in trials
        for moment, entry in zip(trial.epoch_ends(), trial.curve, strict=True)
        if entry["val_f1_macro"] >= target
    ]
    return min(moments, default=None)
