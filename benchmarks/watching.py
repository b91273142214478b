"""When things happened in a search: its journal knows no clock, so whoever wants times looks on."""

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
    """One trial's attempt that brought a result; times in seconds of `clock`.

    Attributes:
        began, ended: when its attempt and its result appeared in the journal.
        curve: entries of the epochs that this attempt trained, not of those that it went on from.
        seconds: of each of these epochs, as the worker measured them: training and validation.
        inherited: epochs that it went on from.
    """

    trial_id: str
    began: float
    ended: float
    curve: list[dict[str, Any]]
    seconds: list[float]
    inherited: float = 0.0

    @property
    def epochs(self) -> float:
        """Epochs that it trained; a training can end within its first."""
        return self.curve[-1]["epoch"] - self.inherited if self.curve else 0.0

    def epoch_ends(self) -> list[float]:
        """When each epoch was over; what follows the last one up to the result counts as part of it."""
        return [self.ended - sum(self.seconds[index + 1 :]) for index in range(len(self.seconds))]

    def steps(self) -> float:
        """Seconds in training and validation steps alone: every epoch at the price of a later one.

        The first epoch also traces and compiles, which is no step; with fewer than two epochs nobody can tell.
        """
        if len(self.seconds) < 2:
            raise ValueError(f"trial {self.trial_id} has fewer than two epochs")
        return len(self.seconds) * median(self.seconds[1:])


@dataclass
class JournalWatch:
    """Notes when each record of a journal appears, to a few milliseconds.

    Args:
        path: of the journal; it need not be there yet.
        clock: monotonic seconds.
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
        """Trials that ended well, in the order of their ends."""
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
    """The first moment when any trial's `val_f1_macro` was at least `target`; None if never."""
    moments = [
        moment
        for trial in trials
        for moment, entry in zip(trial.epoch_ends(), trial.curve, strict=True)
        if entry["val_f1_macro"] >= target
    ]
    return min(moments, default=None)
