"""What a search asks a worker about its space, and what is made of the answer; no worker is started."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace

import msgspec
import pytest

from stress import toy
from tuning.core.errors import EnvironmentProblem, StateError, UsageError
from tuning.core.jobs import CountedModel, Description
from tuning.core.progress import SILENT
from tuning.core.settings import TrainSettings
from tuning.engine import journal
from tuning.engine.entries import OpenedTestSplit, Result
from tuning.pipeline import plan, session
from tuning.pipeline.resources import Resources
from tuning.pipeline.session import Session, opened
from tuning.pipeline.settings import search_settings
from tuning.results.exporters import foresight

from .conftest import toys_instead

OPENING = OpenedTestSplit(key="final/r", run_id="r", purpose="train")
TOY_SPACE = {"space": "stress.tiny_cnn:build_model", "dtype": "float32"}

DEFAULT = CountedModel(count=1, values={})
FOUND = Description(space=[], defaults={}, parameters=dict.fromkeys(("smallest", "default", "largest"), DEFAULT))
IN_LESS = msgspec.structs.replace(FOUND, dtype_policy="float32", dtype_problem="TypeError: no bfloat16")


class Answering:
    """A dispatcher whose worker found `answer`."""

    def __init__(self, answer: Description) -> None:
        self._answer = msgspec.to_builtins(answer)

    def request(self, key, kind, job):
        job(1)

    def start(self):
        pass

    def result(self, key):
        return self._answer if key == "describe" else None


@pytest.fixture
def described(tmp_path, workspace, monkeypatch):
    monkeypatch.setattr(session, "import_keras", lambda: None)
    settings = TrainSettings(
        space="tests:builder", seed=0, epochs=1, dtype_policy="mixed_bfloat16", space_digest="", data_digest="",
        backend="tensorflow", values={},
    )  # fmt: skip

    def describe(answer, dtype, **changes):
        return Session(workspace, tmp_path, replace(settings, **changes), Answering(answer), workers=1, dtype=dtype)

    return describe


def test_only_auto_may_compute_in_something_else(described):
    assert described(IN_LESS, None).describe().dtype_policy == "float32"
    assert described(IN_LESS, None).dtype_policy == "float32"
    assert described(FOUND, "bfloat16").describe().dtype_policy is None
    with pytest.raises(UsageError, match=r"--dtype bfloat16 cannot be obeyed: .*TypeError: no bfloat16") as refused:
        described(IN_LESS, "bfloat16").describe()
    assert "--dtype float32" in refused.value.remedy


def test_a_rate_that_cannot_be_halved_is_told(described):
    scheduled = msgspec.structs.replace(FOUND, constant_rate=False, warnings=["other"])
    other, useless = described(scheduled, None, reduce_lr=3).describe().warnings
    assert other == "other"
    assert useless.startswith("--reduce-lr 3 has no effect on the default configuration of 'tests:builder'")
    assert described(scheduled, None).describe().warnings == ["other"]
    assert described(FOUND, None, reduce_lr=3).describe().warnings == []


@pytest.mark.parametrize(
    ("entry", "begun", "known"), [(None, False, False), (OPENING, False, True), (None, True, True)]
)
def test_what_an_interrupted_planning_found_says_nothing_of_the_next_start(
    entry, begun, known, prepared, tmp_path, monkeypatch, sample_environment
):
    """Until there are settings nobody knows which space it was; what has begun, or opened the test split, is kept."""
    toys_instead(monkeypatch, sample_environment)
    settings = search_settings(prepared, **{**TOY_SPACE, "name": "s"})
    for start in range(2):
        with (
            contextlib.suppress(KeyboardInterrupt),
            opened(prepared, tmp_path / "s", settings, Resources(executor="inline"), planned=False) as found,
        ):
            assert (found.dispatcher.result("describe") is not None) is (known and start == 1)
            assert found.describe().defaults == {"rate": 0.1}
            if entry is not None and not start:
                found.dispatcher.record(entry)
            if begun and not start:
                found.begin(settings)
            raise KeyboardInterrupt
    results = [record for record in journal.read(tmp_path / "s" / "journal.jsonl") if isinstance(record, Result)]
    assert [record.key for record in results] == ["describe"]


def test_a_disk_that_stays_full_fails_no_trial(workspace, toy_search, monkeypatch):
    """A line that is given again and again until there is room, as by a supervisor."""

    def full(directory, attempt, state):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))

    with monkeypatch.context() as patch:
        patch.setattr(toy, "save_state", full)
        for _ in range(14):
            with pytest.raises(OSError, match="No space left"):
                toy_search("s", max_trials=2)
    assert toy_search("s", max_trials=2).failed == 0


def test_whatever_an_interrupted_fresh_has_left_the_next_one_moves_all_aside(tmp_path):
    """A kill after it had moved one run; then the old search went on, and made that run anew."""
    search, run = tmp_path / "work" / "s", tmp_path / "trials" / "run"
    for number, folder in enumerate((search / "runs" / "run", run)):
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(str(number))
    aside = session.move_aside(search, [run])
    assert aside == tmp_path / "work" / "s~1"
    assert {path.parent.name: path.read_text() for path in aside.rglob("*.json")} == {"run": "0", "run~1": "1"}


def test_a_run_whose_search_is_gone_is_moved_aside(tmp_path):
    run = tmp_path / "trials" / "run"
    run.mkdir(parents=True)
    session.move_aside(tmp_path / "work" / "s", [run])
    assert (tmp_path / "work" / "s~1" / "runs" / "run").is_dir() and not run.exists()


def test_a_lost_journal_is_missed_where_the_folder_is_on_another_disk(workspace, toy_search, tmp_path):
    toy_search("s", max_trials=2, search_only=False)
    folder, large = workspace.search("s"), tmp_path / "large"
    (folder / "journal.jsonl").unlink()
    folder.rename(large)
    folder.symlink_to(large)
    with pytest.raises(StateError, match="search s has no trial in"):
        toy_search("s", max_trials=2, search_only=False)


def test_a_cluster_that_cannot_be_joined_leaves_what_another_command_has_begun_meanwhile(
    workspace, tmp_path, monkeypatch
):
    """Joining takes a while; a search with a budget has no settings before its plan is made."""
    folder, settings = tmp_path / "s", search_settings(workspace, **{**TOY_SPACE, "name": "s"})

    def refused(**given):
        raise EnvironmentProblem("there is no cluster", "start one")

    monkeypatch.setattr(session, "load_executor", lambda name: refused)
    with pytest.raises(EnvironmentProblem), opened(workspace, folder, settings, Resources()):
        pass
    assert not folder.exists()

    with contextlib.ExitStack() as other:

        def begun(**given):
            folder.mkdir()
            other.enter_context(journal.Journal(folder / "journal.jsonl")).append(OPENING)
            refused()

        monkeypatch.setattr(session, "load_executor", lambda name: begun)
        with pytest.raises(EnvironmentProblem), opened(workspace, folder, settings, Resources()):
            pass
        assert journal.read(folder / "journal.jsonl") != ()


def test_exports_are_tried_only_where_they_may_fail(workspace, monkeypatch):
    asked = []

    def cannot_leave(model, shape, progress, suspects):
        asked.append((model, shape, suspects))
        return ["litert: no"]

    monkeypatch.setattr(foresight, "cannot_leave", cannot_leave)
    assert plan.refused_exports(workspace, FOUND, SILENT) == []
    odd = msgspec.structs.replace(FOUND, unproven_model="{}", unproven_layers=["shrink"])
    assert plan.refused_exports(workspace, odd, SILENT) == ["litert: no"]
    [(model, shape, suspects)] = asked
    assert (model, len(shape), suspects) == ("{}", 3, ["shrink"])
