from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuning.core.errors import EnvironmentProblem, StateError, UsageError
from tuning.core.workspace import Workspace


def test_the_names_are_the_contract():
    workspace = Workspace(Path("w"))
    names = {
        "raw": "data/raw_yolo",
        "pool": "data/cls_pool",
        "split": "data/cls_data",
        "models": "artifacts/models",
        "trials": "artifacts/trials",
        "outs": "artifacts/outputs",
        "searches": "artifacts/searches",
        "class_names": "artifacts/outputs/class_names.json",
        "pool_manifest": "artifacts/outputs/pool_manifest.json",
        "pool_summary": "artifacts/outputs/pool_summary.json",
        "split_manifest": "artifacts/outputs/split_manifest.json",
        "leaderboard": "artifacts/outputs/leaderboard.csv",
        "best_model": "artifacts/models/best_model.keras",
        "best_model_metrics": "artifacts/models/best_model_metrics.json",
    }
    assert {name: getattr(workspace, name).as_posix() for name in names} == {
        name: f"w/{path}" for name, path in names.items()
    }
    assert workspace.run("r1").as_posix() == "w/artifacts/trials/r1"
    assert workspace.search("s1").as_posix() == "w/artifacts/searches/s1"


def test_a_file_is_no_workspace_and_no_place_to_begin_one(tmp_path):
    (tmp_path / "leaderboard.csv").touch()
    with pytest.raises(StateError, match=r"leaderboard\.csv is no folder") as refused:
        Workspace(tmp_path / "leaderboard.csv").require()
    assert "prepare" not in refused.value.remedy


def test_looking_at_a_workspace_creates_nothing(tmp_path):
    workspace = Workspace(tmp_path / "new")
    assert not workspace.leaderboard.exists()
    assert list(tmp_path.iterdir()) == []


def test_create_makes_what_is_missing_and_keeps_the_rest(tmp_path):
    workspace = Workspace(tmp_path / "deep" / "new").create()
    assert all(path.is_dir() for path in (workspace.data, workspace.models, workspace.trials, workspace.outs))
    assert workspace.searches.is_dir()
    workspace.leaderboard.write_text("kept")
    workspace.create()
    assert workspace.leaderboard.read_text() == "kept"


@pytest.mark.parametrize("name", ["", "data", "artifacts", "artifacts/models"])
def test_a_file_where_a_folder_belongs_is_named(name, tmp_path):
    root = tmp_path / "w"
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    with pytest.raises(UsageError, match="is not a folder") as caught:
        Workspace(root).create()
    assert str(path) in caught.value.problem


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "trials")
    with pytest.raises(EnvironmentProblem, match=r"cannot write in .*trials"):
        Workspace(tmp_path).create()


def test_a_folder_that_cannot_be_created_is_named(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentProblem, match=r"cannot create .*Permission denied"):
        Workspace(tmp_path / "w").create()
