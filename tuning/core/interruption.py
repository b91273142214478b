"""The wish to stop, for code that an exception out of a signal handler may not reach.

A signal raises `Interrupted` wherever the main thread happens to be. Inside a destructor Python drops it, printing a
traceback; inside a library's callback it comes out as that library's own error, which looks like a failed trial. So the
handler also notes the signal here, whoever is about to record a result, or to wait, asks first, and a dropped
`Interrupted` is not printed: it has been noted.
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
    """What --fresh asked for is done: the line that goes on from here is the one without it."""
    global _started_over
    _started_over = True


def started_over() -> bool:
    """Whether that was noted since the command began."""
    return _started_over


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """While the block runs, a signal is noted; it raises when the block has ended.

    For imports of native code, such as TensorFlow's: an exception in the midst of them aborts the process.
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
    """While the block runs, SIGINT and SIGTERM raise `Interrupted`, so that every `finally` runs; and are noted."""
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
        # Whatever it came out as: that it was a signal is what the person should hear.
        if _noted is not None:
            raise Interrupted(_noted) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = dropped
        _noted = None
