"""The ensemble of a search: a row of its own, the same one however the search was run. The work is a toy."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import msgspec
import pytest

from stress import toy
from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.audit import audit
from tuning.engine.entries import Extended, OpenedTestSplit, Published
from tuning.engine.state import replay
from tuning.pipeline.ensemble import mean_history, others, space_apart
from tuning.pipeline.resources import Resources
from tuning.pipeline.train import values_of_trial
from tuning.results.aliases import alias
from tuning.results.leaderboard import read
from tuning.results.runs import HISTORY_COLUMNS, RUN_FILES, read_columns, read_run, run_folders
from tuning.results.schema import read_params

from .conftest import rewrite_journal

GIVEN = {"max_trials": 4, "top_k": 2, "executions": 2, "seed": 4, "search_only": False}


def the_ensemble(workspace: Workspace) -> list[str]:
    return [row.run_id for row in read(workspace) if row.kind == "ensemble"]


def cut_before_the_ensemble(workspace: Workspace, attempted: bool) -> None:
    """The workspace as a kill leaves it after the finals, or while the ensemble was built."""
    entries = journal.read(workspace.search("s") / "journal.jsonl")
    place = next(e.n for e in entries if isinstance(e, OpenedTestSplit) and e.purpose == "ensemble")
    rewrite_journal(workspace, entries[: place + 2 * attempted])
    for run_id in the_ensemble(workspace):
        shutil.rmtree(workspace.run(run_id))
        workspace.predictions(run_id).unlink()
    workspace.leaderboard.unlink()


def test_an_ensemble_is_a_run_like_any_other(toy_search, workspace):
    result = toy_search("s", **GIVEN)
    (run_id,) = the_ensemble(workspace)
    assert result.runs[-1] == run_id
    folder = workspace.run(run_id)
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    metrics, params = read_run(folder), read_params(folder / "params.json", "")
    members = params.settings.members
    others = [read_run(workspace.run(member)) for member in members]
    assert params.values == {}
    assert 1 < len(members) <= 5
    assert metrics.epochs == max(other.epochs for other in others)
    assert (metrics.kind, metrics.trial, metrics.rank, metrics.test_evaluations) == ("ensemble", None, None, 1)
    curves = [read_columns(workspace.run(member) / "history.json", "") for member in members]
    mean = read_columns(folder / "history.json", "")
    assert mean["val_f1_macro"][0] == pytest.approx(sum(c["val_f1_macro"][0] for c in curves) / len(curves))
    assert audit(journal.read(workspace.search("s") / "journal.jsonl")) == []


def test_workers_and_kills_between_the_finals_and_the_ensemble_change_nothing(toy_search, workspace):
    toy_search("s", **GIVEN)
    expected = workspace.leaderboard.read_bytes()
    assert the_ensemble(workspace)
    for attempted in (False, True):
        cut_before_the_ensemble(workspace, attempted)
        toy_search("s", **GIVEN, resources=Resources(workers=2))
        assert workspace.leaderboard.read_bytes() == expected


def test_an_ensemble_that_fails_ends_nothing_and_is_tried_again(toy_search, workspace, monkeypatch):
    monkeypatch.setenv(toy.BROKEN, "ensemble")
    assert toy_search("s", **GIVEN).promoted
    assert the_ensemble(workspace) == []
    monkeypatch.delenv(toy.BROKEN)
    toy_search("s", **GIVEN)
    (run_id,) = the_ensemble(workspace)
    # The first attempt failed before it opened the test split.
    assert read_run(workspace.run(run_id)).test_evaluations == 1


def test_a_run_gives_its_values_and_an_ensemble_names_its_members(toy_search, workspace):
    toy_search("s", **GIVEN)
    (ensemble,) = the_ensemble(workspace)
    with pytest.raises(UsageError, match="is an ensemble") as refused:
        values_of_trial(workspace, alias(ensemble))
    others = [folder.name for folder in run_folders(workspace) if folder.name != ensemble]
    assert any(run_id in refused.value.remedy for run_id in others)
    for run_id in others:
        params = read_params(workspace.run(run_id) / "params.json", "")
        expected = ("stress.tiny_cnn:build_model", dict(params.values), None)
        assert values_of_trial(workspace, alias(run_id)) == values_of_trial(workspace, run_id) == expected


def test_an_ensemble_gives_way_to_a_later_one_but_not_to_that_of_a_larger_budget():
    entries = [
        OpenedTestSplit(key="final/whole", run_id="whole", purpose="ensemble"),
        Published(key="final/whole", run_id="whole"),
        OpenedTestSplit(key="final/killed", run_id="killed", purpose="ensemble"),
        Extended(asks=0, budget=7200.0, finals=60.0),
        OpenedTestSplit(key="final/a", run_id="a", purpose="finalist"),
        OpenedTestSplit(key="final/without-a", run_id="without-a", purpose="ensemble"),
        Published(key="final/without-a", run_id="without-a"),
    ]
    numbered = [msgspec.structs.replace(entry, n=number) for number, entry in enumerate(entries)]
    session = SimpleNamespace(dispatcher=SimpleNamespace(state=replay(numbered)))
    assert others(session, "with-a") == {"killed", "without-a"}
    assert others(session, "without-a") == {"killed"}


def test_an_ensemble_of_nothing_that_started_from_a_base_has_started_from_none(run_metrics):
    scratch, tuned = run_metrics("a", space="baseline_cnn"), run_metrics("b", space="fine_tune")
    assert space_apart("fine_tune", [scratch, scratch]) == "baseline_cnn"
    assert space_apart("fine_tune", [scratch, tuned]) is None
    assert space_apart("baseline_cnn", [scratch, scratch]) is None


def test_without_one_there_is_none(toy_search, workspace):
    toy_search("s", **GIVEN, ensemble=False)
    assert the_ensemble(workspace) == []


def test_a_mean_curve_is_as_long_as_the_longest_and_knows_what_is_missing():
    def history(*losses):
        columns = {name: [1.0] * len(losses) for name in HISTORY_COLUMNS}
        return {**columns, "epoch": list(range(1, len(losses) + 1)), "val_loss": list(losses), "extra": [0.0]}

    found = mean_history([history(1.0, None, 3.0), history(2.0, None)])
    assert found["epoch"] == [1, 2, 3]
    assert found["val_loss"] == [1.5, None, 3.0]
    assert set(found) == set(HISTORY_COLUMNS)
