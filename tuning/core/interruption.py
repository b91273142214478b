"""Requests to stop (SIGINT, SIGTERM), recorded for code that an exception from a signal handler may not reach.

A signal raises `Interrupted` wherever the main thread happens to be. Inside a destructor Python drops the exception and
prints a traceback; inside a library's callback it surfaces as that library's own error, which looks like a failed
trial. So the handler also records the signal here, and code that is about to record a result or to wait calls `check`
first. A dropped `Interrupted` is not printed, because the signal is recorded.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

from tuning.core.errors import Interrupted

_noted: int | None = None
_deferred = False
_started_over = False


def check() -> None:
    """Raises `Interrupted` if a signal has asked this process to stop."""
    if _noted is not None:
        raise Interrupted(_noted)


def note_started_over() -> None:
    """Records that --fresh has moved the old search or run aside: the command that resumes is the one without it."""
    global _started_over
    _started_over = True


def started_over() -> bool:
    """Whether `note_started_over` was called since the command began."""
    return _started_over


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Delays `Interrupted`: a signal during the block raises when the block has ended.

    For imports of native code, such as TensorFlow's, which an exception would make abort the process.
    """
    global _deferred
    before, _deferred = _deferred, True
    try:
        yield
    finally:
        _deferred = before
    check()


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Makes SIGINT and SIGTERM raise `Interrupted` during the block, so that every `finally` runs, and records them."""
    global _noted, _started_over

    def note_and_raise(number: int, frame: object) -> None:
        global _noted
        _noted = number
        if not _deferred:
            raise Interrupted(number)

    dropped = sys.unraisablehook

    def unless_noted(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not Interrupted:
            dropped(unraisable)

    _noted, _started_over = None, False
    sys.unraisablehook = unless_noted
    before = {number: signal.signal(number, note_and_raise) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        # Report the signal, whatever error a library turned it into.
        if _noted is not None:
            raise Interrupted(_noted) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = dropped
        _noted = None
