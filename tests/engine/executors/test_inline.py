"""The inline executor: the same events, in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuning.engine.executors import EXECUTORS, Finished, Job, Progressed, load_executor


@pytest.fixture
def executor(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return load_executor("inline")(4, "sample_work:run", {}, tmp_path)


def test_a_job_runs_here_one_at_a_time(executor):
    assert executor.free() == 1
    executor.submit(Job("a", 3, "echo", {"x": 1}))
    assert executor.free() == 0
    progressed, finished = executor.collect(0)
    assert progressed == Progressed("a", 3, {"epoch": 1})
    assert isinstance(finished, Finished)
    assert finished.result["pid"] == os.getpid()
    assert executor.collect(0) == []


def test_what_the_work_prints_is_no_result_of_the_command(executor, capsys):
    executor.submit(Job("a", 3, "echo", {"x": 1}))
    executor.collect(0)
    assert capsys.readouterr().out == ""


def test_an_exception_is_an_error(executor):
    executor.submit(Job("a", 0, "raise", {}))
    (finished,) = executor.collect(0)
    assert finished.error.message == "ValueError: a bad"


def test_the_work_has_a_current_folder_of_its_own(executor, tmp_path, monkeypatch):
    """A module that changes it is imported once; in this process, the paths of the search may be relative."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    monkeypatch.chdir(own)
    for kind in ("move", "where"):
        executor.submit(Job(kind, 0, kind, {"folder": str(other)}))
        (finished,) = executor.collect(0)
        assert finished.result == {"folder": str(other)}
        assert Path.cwd() == own


def test_every_row_of_the_table_can_be_loaded():
    for name in EXECUTORS:
        assert {"warm_up", "free", "submit", "collect", "close"} <= set(dir(load_executor(name)))
