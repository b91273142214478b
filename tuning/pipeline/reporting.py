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
    """Imports, one by one, what `write_report` will need, more than a second in all; yields True after each."""
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
        # Whatever is wrong with it, the search goes on; `write_report` will say so.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
        yield True


def write_report(workspace: Workspace, name: str, progress: Progress) -> Verdict | None:
    """The page of the search; returns its verdict, None where it could not be written.

    All that was found is safe by now: no defect of a picture may make a failure of it.
    """
    # Not before it is needed: plots and statistics.
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
