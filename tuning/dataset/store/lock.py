"""Allows one `prepare` at a time in a workspace, and first cleans up after a killed one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tuning.core import files
from tuning.core.errors import EnvironmentProblem
from tuning.core.workspace import Workspace

_SCRATCH = "rows"


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Holds the lock that every change to a workspace's data requires.

    Raises:
        EnvironmentProblem: another process holds it.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(workspace.data / ".prepare.lock", timeout=0):
            _recover(workspace)
            yield
    except Timeout:
        raise EnvironmentProblem(
            f"another process is preparing {workspace.root}", "let it finish, or end it, and run the same command again"
        ) from None


@contextlib.contextmanager
def scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """Creates a folder for one run's temporary files; removed at the end of the run, or by the next run."""
    prefix = f"{files.TEMPORARY_MARK}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=f"-{_SCRATCH}", dir=workspace.data) as folder:
        yield Path(folder)


def _recover(workspace: Workspace) -> None:
    """Removes a killed run's temporary files, and restores what it had moved aside but not yet replaced."""
    for name in (workspace.pool.name, workspace.split.name, _SCRATCH):
        for mark in (files.RETIRED_MARK, files.TEMPORARY_MARK):
            for left in sorted(workspace.data.glob(f"{mark}*-{name}")):
                files.put_back(left)
    for left in workspace.unpacked.glob(f"{files.TEMPORARY_MARK}*"):
        files.put_back(left)
