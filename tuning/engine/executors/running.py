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


def load_work(target: str) -> Work:
    """The function named `module:function`."""
    work: Work = pkgutil.resolve_name(target)
    return work


def attempt(
    work: str, kind: str, payload: Mapping[str, Any], report: Report
) -> tuple[dict[str, Any] | None, JobError | None]:
    """(result, None) of the work function, or (None, error) when it raised.

    `OSError`, as of a full or failing disk, and `Outdated` are errors of kinds of their own, because they say nothing
    about the configuration that met them.

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
        return None, JobError("memory", f"out of memory: {error}", traceback=_traceback(error))
    except TuningError as error:
        return None, JobError(
            "outdated" if isinstance(error, Outdated) else "refused",
            error.problem,
            traceback=_traceback(error),
            remedy=error.remedy,
            exit_code=error.exit_code,
        )
    except OSError as error:
        return None, JobError(
            "environment",
            f"{error.filename or ''}: {error.strerror or error}".lstrip(": "),
            traceback=_traceback(error),
            errno=error.errno,
            filename=str(error.filename) if error.filename else None,
        )
    except Exception as error:
        kind = "memory" if type(error).__name__ == "ResourceExhaustedError" else "exception"
        return None, JobError(kind, f"{type(error).__name__}: {_first_line(error)}", traceback=_traceback(error))


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
