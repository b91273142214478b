"""Runs one job in this process and turns whatever happens into plain data: the one place where a crash of Python code
becomes an outcome.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from tuning.core import interruption
from tuning.core.errors import Interrupted, Outdated, TuningError

Work = Callable[[str, Mapping[str, Any], Callable[[dict[str, Any]], None]], dict[str, Any]]


def load_work(target: str) -> Work:
    """The function named `module:function`."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def attempt(
    work: str, kind: str, payload: Mapping[str, Any], report: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
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
    work: str, kind: str, payload: Mapping[str, Any], report: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    try:
        return load_work(work)(kind, payload, report), None
    except Interrupted:
        raise
    except MemoryError as error:
        return None, _error("memory", f"out of memory: {error}", error)
    except TuningError as error:
        kind = "outdated" if isinstance(error, Outdated) else "refused"
        return None, _error(kind, error.problem, error) | {
            "remedy": error.remedy,
            "exit_code": error.exit_code,
        }
    except OSError as error:
        return None, _error("environment", f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), error) | {
            "errno": error.errno,
            "filename": str(error.filename) if error.filename else None,
        }
    except Exception as error:
        kind = "memory" if type(error).__name__ == "ResourceExhaustedError" else "exception"
        return None, _error(kind, f"{type(error).__name__}: {_first_line(error)}", error)


def _error(kind: str, message: str, error: BaseException) -> dict[str, Any]:
    return {"kind": kind, "message": message, "traceback": "".join(traceback.format_exception(error))}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
