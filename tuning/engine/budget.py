"""A time budget: counted over all resumes, with a share reserved for the work after the search."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable

from tuning.core.errors import UsageError
from tuning.engine.entries import Spent

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Running time is journaled at least this often, so that a kill forgets no more than that.
JOURNAL_SECONDS = 30.0


def seconds(text: str) -> float:
    """The seconds that "90s", "45m", "8h", "2d" or "1h30m" mean.

    Raises:
        UsageError: it means none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"--budget is {text!r}", "give a time such as 45m, 8h, 2d or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total <= 0:
        raise UsageError(f"--budget is {text!r}", "give more than nothing")
    return total


def as_given(value: float) -> str:
    """Seconds as a person gives a budget, in the largest unit that tells them exactly: "90s", "4m", "2h"."""
    unit = next((unit for unit in "hm" if value % _UNITS[unit] == 0), "s")
    return f"{value / _UNITS[unit]:.0f}{unit}"


def duration(value: float) -> str:
    """Seconds in words of at most two units: "45 s", "12 min", "3 h 05 min", "2 d 4 h"."""
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
    """Seconds to keep back for retraining `runs` configurations for `epochs` each, `workers` at a time.

    Args:
        epoch_seconds: measured epochs of the trials so far. The slower half counts: finalists tend to be large.
            While there are none, a fifth of the budget is kept back.
    """
    measured = sorted(epoch_seconds)
    if not measured:
        return budget / 5
    slower = measured[len(measured) // 2 :]
    rounds = math.ceil(runs / max(1, workers))
    # A tenth for starting, tracing, and the evaluation itself.
    return 1.1 * rounds * epochs * sum(slower) / len(slower)


class Stopwatch:
    """Running time of a search over all its resumes.

    Args:
        before: what the journal says was spent.
        record: journals an entry.
        began: reading of `time.monotonic` from which time counts; None: now.
    """

    def __init__(self, before: Iterable[Spent], record: Callable[[Spent], object], began: float | None = None) -> None:
        self._before = sum(entry.seconds for entry in before)
        self._record = record
        self._began = self._noted = time.monotonic() if began is None else began

    def elapsed(self) -> float:
        """Seconds of running time, earlier ones included; journaled as it goes."""
        now = time.monotonic()
        if now - self._noted >= JOURNAL_SECONDS:
            self.note()
        return self._before + now - self._began

    def note(self) -> None:
        """Journals the time since the last note."""
        now = time.monotonic()
        self._record(Spent(seconds=round(now - self._noted, 3)))
        self._noted = now
