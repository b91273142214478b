"""A time budget, counted over all resumes, with a reserve for the work after the search."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable

from tuning.core.errors import UsageError
from tuning.engine.entries import Spent

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Running time is journaled at least this often, so that a kill loses no more than this.
JOURNAL_SECONDS = 30.0


def seconds(text: str) -> float:
    """Parses a time such as "90s", "45m", "8h", "2d" or "1h30m" into seconds.

    Raises:
        UsageError: `text` is no such time, or not more than 0.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"--budget is {text!r}", "give a time such as 45m, 8h, 2d or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total <= 0:
        raise UsageError(f"--budget is {text!r}", "give more than nothing")
    return total


def as_given(value: float) -> str:
    """Whole seconds in the form of `--budget`, in the largest exact unit of hours, minutes and seconds: "90s", "4m"."""
    unit = next((unit for unit in "hm" if value % _UNITS[unit] == 0), "s")
    return f"{value / _UNITS[unit]:.0f}{unit}"


def duration(value: float) -> str:
    """Seconds as text of at most two units: "45 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    value = max(0, round(value))
    if value < 60:
        return f"{value} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def reserve(epoch_seconds: Iterable[float], epochs: int, runs: int, workers: int, budget: float) -> float:
    """Seconds to reserve for retraining `runs` configurations for `epochs` each, `workers` at a time.

    Args:
        epoch_seconds: measured times of the trials' epochs so far. The slower half is averaged, because finalists tend
            to be large. If there are none, a fifth of the budget is reserved.
    """
    measured = sorted(epoch_seconds)
    if not measured:
        return budget / 5
    slower = measured[len(measured) // 2 :]
    rounds = math.ceil(runs / max(1, workers))
    # A tenth is added for starting, tracing and evaluation.
    return 1.1 * rounds * epochs * sum(slower) / len(slower)


class Stopwatch:
    """Measures the running time of a search over all its resumes.

    Args:
        before: the journal's entries of time spent.
        record: journals an entry.
        began: value of `time.monotonic` from which time counts; None: now.
    """

    def __init__(self, before: Iterable[Spent], record: Callable[[Spent], object], began: float | None = None) -> None:
        self._before = sum(entry.seconds for entry in before)
        self._record = record
        self._began = self._noted = time.monotonic() if began is None else began

    def elapsed(self) -> float:
        """Seconds of running time, earlier starts included; journals it every `JOURNAL_SECONDS`."""
        now = time.monotonic()
        if now - self._noted >= JOURNAL_SECONDS:
            self.note()
        return self._before + now - self._began

    def note(self) -> None:
        """Journals the time since it was last journaled."""
        now = time.monotonic()
        self._record(Spent(seconds=round(now - self._noted, 3)))
        self._noted = now
