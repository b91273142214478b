"""Runs one job in this process and turns whatever happens into plain data: the one place where a crash of Python code
becomes an outcome.
"""

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


#: Exceptions of libraries that mean more than that something is wrong -> what.
_KINDS = {"ResourceExhaustedError": "memory", "FailedTrialError": "unfit"}


def load_work(target: str) -> Work:
    """The function named `module:function`."""
    work: Work = pkgutil.resolve_name(target)
    return work


def attempt(
    work: str, kind: str, payload: Mapping[str, Any], report: Report
) -> tuple[dict[str, Any] | None, JobError | None]:
    """(result, None) of the work function, or (None, error) when it raised.

    `OSError` with a number, as of a full or failing disk, and `Outdated` are errors of kinds of their own, because they
    say nothing about the configuration that met them.

    Raises:
        Interrupted: a signal asked this process to stop; whatever came of the work meanwhile does not count.
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
            # No system call failed: a library's own word, such as that a file is none of its format.
            return None, _error("exception", f"{type(error).__name__}: {_first_line(error)}", error)
        return None, _error(
            "environment",
            f"{error.filename or ''}: {error.strerror or error}".lstrip(": "),
            error,
            errno=error.errno,
            filename=str(error.filename) if error.filename else None,
        )
    except (Exception, SystemExit) as error:  # a training of a person's own that gives up may not end the search
        kind = _KINDS.get(type(error).__name__, "exception")
        return None, _error(kind, f"{type(error).__name__}: {_first_line(error)}", error)


def _error(kind: str, message: str, error: BaseException, **more: Any) -> JobError:
    text = "".join(traceback.format_exception(error))
    return JobError(kind, _encodable(message), traceback=_encodable(text), **more)


def _encodable(text: str) -> str:
    """No file holds half of a surrogate pair, as Python has it for a byte of a file name that is not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
