"""Writes the report at the end of a search."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tuning.core.errors import Interrupted
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.results.report.verdict import Verdict


def preparing_report() -> Iterator[bool]:
    """Imports the modules that `write_report` needs, more than a second in all; yields True after each one."""
    for name in (
        "tuning.results.report",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "tuning.results.report.pictures",
        "tuning.results.report.finals_part",
        "pandas",
        "scipy.stats",
        "sklearn.ensemble",
        "sklearn.inspection",
    ):
        # If an import fails, the search goes on; `write_report` will report it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
        yield True


def write_report(workspace: Workspace, name: str, progress: Progress) -> Verdict | None:
    """Writes the report of the search; returns its verdict, None if it could not be written.

    All results are stored by now: a defect of the report must not make the search fail.
    """
    # Imported only now: plots and statistics.
    from tuning.results import report

    try:
        path, found = report.write(workspace, name)
    except (Interrupted, OSError):
        raise
    except Exception as error:
        again = workspace.addressed(f"python -m tuning.report {name}")
        progress.warn(f"the report could not be written ({error}); try again: {again}")
    else:
        progress.say(f"report: {path}")
        return found.verdict
    return None
