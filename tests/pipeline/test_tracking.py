"""A finished search, followed afterwards: the same command with --tensorboard trains nothing, and shows it all."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from .conftest import SEARCH, records, results


def event_files(workspace) -> dict[str, int]:
    """Folder below the search's event files -> time stamp of its only file."""
    root = workspace.search("s") / "tensorboard"
    found = {path.parent.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in root.rglob("events*")}
    assert len(found) == len(list(root.rglob("events*")))
    return found


@pytest.mark.tensorflow
def test_a_finished_search_is_caught_up_with(finished, copied, here):
    workspace = copied(finished)
    before, attempts = results(workspace), len(records(workspace, "attempt"))
    assert not (workspace.search("s") / "tensorboard").exists()
    assert here(workspace, "search", *SEARCH, "--tensorboard").code == 0
    trials = {f"trials/{record['trial']['trial_id']}" for record in records(workspace, "ask")}
    runs = {f"runs/{run}" for run in before["weights"]}
    written = event_files(workspace)
    assert set(written) == {".", *trials, *runs}

    assert here(workspace, "search", *SEARCH, "--tensorboard").code == 0
    assert event_files(workspace) == written
    assert results(workspace) == before
    assert len(records(workspace, "attempt")) == attempts


@pytest.mark.tensorflow
@pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="the extra mlflow is not installed")
def test_a_server_that_is_gone_changes_nothing(finished, copied, here):
    workspace = copied(finished)
    before = results(workspace)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        done = here(workspace, "search", *SEARCH, "--mlflow", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert done.code == 0
    assert done.stderr.count("warning: mlflow is left out from here on") == 1
    assert results(workspace) == before


@pytest.mark.tensorflow
@pytest.mark.skipif(bool(importlib.util.find_spec("mlflow")), reason="the extra mlflow is installed")
def test_without_the_extra_nothing_begins(finished, copied, here):
    done = here(copied(finished), "search", *SEARCH, "--mlflow", "runs")
    assert done.code == 4 and "pip install -e '.[mlflow]'" in done.stderr
