"""Runs one job in this process and converts its result, or any exception, to plain data."""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from tuning.core import interruption
from tuning.core.errors import Interrupted, Outdated, TuningError
from tuning.engine.executors import JobError

Report = Callable[[dict[str, Any]], None]
Work = Callable[[str, Mapping[str, Any], Report], dict[str, Any]]


#: Names of library exceptions with a meaning of their own -> the kind of `JobError`.
_KINDS = {"ResourceExhaustedError": "memory", "FailedTrialError": "unfit"}


def load_work(target: str) -> Work:
    """The function named `module:function`."""
    work: Work = pkgutil.resolve_name(target)
    return work


def attempt(
    work: str, kind: str, payload: Mapping[str, Any], report: Report
) -> tuple[dict[str, Any] | None, JobError | None]:
    """Calls the work function; returns (result, None), or (None, error) if it raised.

    `OSError` with an error number, as for a full or failing disk, and `Outdated` become separate kinds of error,
    because they say nothing about the configuration.

    Raises:
        Interrupted: a signal asked this process to stop; the result of the work is discarded.
    """
    answer = _answer(work, kind, payload, report)
    interruption.check()
    return answer


def _answer(
    work: str, kind: str, payload: Mapping[str, Any], report: Report
) -> tuple[dict[str, Any] | None, JobError | None]:
    try:
        return load_work(work)(kind, payload, report), None
    except Interrupted:
        raise
    except MemoryError as error:
        return None, _error("memory", f"out of memory: {error}", error)
    except TuningError as error:
        kind = "outdated" if isinstance(error, Outdated) else "refused"
        return None, _error(kind, error.problem, error, remedy=_encodable(error.remedy), exit_code=error.exit_code)
    except OSError as error:
        if error.errno is None:
            # No system call failed: a library raised it, for example for a file of another format.
            return None, _error("exception", f"{type(error).__name__}: {_first_line(error)}", error)
        return None, _error(
            "environment",
            f"{error.filename or ''}: {error.strerror or error}".lstrip(": "),
            error,
            errno=error.errno,
            filename=str(error.filename) if error.filename else None,
        )
    except (Exception, SystemExit) as error:  # a user's code that calls sys.exit must not end the search
        kind = _KINDS.get(type(error).__name__, "exception")
        return None, _error(kind, f"{type(error).__name__}: {_first_line(error)}", error)


def _error(kind: str, message: str, error: BaseException, **more: Any) -> JobError:
    text = "".join(traceback.format_exception(error))
    return JobError(kind, _encodable(message), traceback=_encodable(text), **more)


def _encodable(text: str) -> str:
    """Escapes lone surrogates, by which Python represents undecodable bytes of file names; UTF-8 cannot encode them."""
    return text.encode(errors="backslashreplace").decode()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
