"""Errors that a user can act on: each names what is wrong, the value received, and the remedy.

Every error carries the exit code of the command that raises it (see the README's table). Anything that is neither a
`TuningError` nor an operating-system error is a defect of this package and exits with 1.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

EXIT_DONE = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_ENVIRONMENT = 4
EXIT_BUDGET = 5
#: The exit code of a process that SIGPIPE ends (128 + 13): the reader of the output closed it early.
EXIT_UNREAD = 141

#: The remedy for a search whose own files are damaged.
RESTORE = "restore the file from a copy, or start the search over with --fresh"


def listed(names: Sequence[str], most: int) -> str:
    """Names for a message: the first `most`, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


class TuningError(Exception):
    """A problem with a known remedy, which is also shown at the end of a traceback.

    Args:
        problem: one sentence: what is wrong, with the value received and the file (and line) it came from.
        remedy: one sentence: what to do about it.
    """

    exit_code = EXIT_INTERNAL

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        if remedy:
            self.add_note(f"→ {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.remedy)


class UsageError(TuningError):
    """An invalid option or argument (exit 2)."""

    exit_code = EXIT_USAGE


class DataError(TuningError):
    """Images, labels or manifests that are unusable as they are (exit 3)."""

    exit_code = EXIT_REFUSED


class StateError(TuningError):
    """A search or workspace whose state contradicts the request (exit 3)."""

    exit_code = EXIT_REFUSED


class Outdated(StateError):
    """Data or code have changed since the search began; none of its trials may continue (exit 3)."""


class OtherSettings(StateError):
    """The search began with other settings; `fields` names those that differ (exit 3)."""

    def __init__(self, problem: str, remedy: str, fields: list[str]) -> None:
        super().__init__(problem, remedy)
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.remedy, self.fields)


class EnvironmentProblem(TuningError):
    """A problem of the environment: disk, permissions, a missing extra (exit 4)."""

    exit_code = EXIT_ENVIRONMENT


class Disconnected(EnvironmentProblem):
    """The cluster of a search has gone; finished work is saved, and the same command resumes (exit 4)."""


class BudgetEnded(TuningError):
    """The budget ended before any trial finished (exit 5)."""

    exit_code = EXIT_BUDGET


class Interrupted(TuningError):
    """SIGINT or SIGTERM arrived; finished work is saved (exit 128 + signal)."""

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        by = f"Ctrl-C ({name})" if signal_number == signal.SIGINT else name
        super().__init__(f"{by} arrived; everything that was finished is saved")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.signal_number,)

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows instead of a traceback, because stopping a cell is no error."""
        return [f"stopped: {self.problem}; the same cell resumes (fresh=True would start over)"]
