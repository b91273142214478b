"""What a kill or a full disk at any step of `prepare` leaves: the old state, or one that the same command completes."""

from __future__ import annotations

import shutil

import pytest

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.store.arrays import open_dataset, read_info


def leftovers(workspace):
    return [path.name for path in workspace.data.iterdir() if path.name.startswith(files.TEMPORARY_MARK)]


class Crash(BaseException):
    """Stands for the end of the process: nothing may catch it and go on."""


def steps(run):
    """How many steps that change the disk `run` announces."""
    seen = []
    files.fault_hook = lambda operation, path: seen.append((operation, path.name))
    run()
    files.fault_hook = None
    return seen


def crash_at(number, run):
    count = 0

    def hook(operation, path):
        nonlocal count
        count += 1
        if count == number:
            raise Crash

    files.fault_hook = hook
    with pytest.raises(Crash):
        run()
    files.fault_hook = None


def test_after_a_crash_at_any_step_the_same_command_succeeds(tmp_path, faces, save):
    """Every third step of a first run, and every step of one that extends it, is the last one once."""
    raw = faces({"a": 6, "b": 6})
    reference = Workspace(tmp_path / "reference")
    expected = prepare_dataset(reference, raw, image_size=8)
    first = len(steps(lambda: prepare_dataset(Workspace(tmp_path / "count"), raw, image_size=8)))
    assert first > 20
    for number in range(1, first + 1, 3):
        workspace = Workspace(tmp_path / f"first-{number}")
        crash_at(number, lambda w=workspace: prepare_dataset(w, raw, image_size=8))
        assert prepare_dataset(workspace, raw, image_size=8).info == expected.info
        assert workspace.split_manifest.read_bytes() == reference.split_manifest.read_bytes()
        assert leftovers(workspace) == []

    for key in range(6):
        save(raw / "a" / f"new-{key}.png", 500 + key)
    old = tmp_path / "old"
    shutil.copytree(reference.root, old)
    extended = prepare_dataset(reference, raw, image_size=8)
    for number in range(1, first + 1):
        workspace = Workspace(tmp_path / f"second-{number}")
        shutil.copytree(old, workspace.root)
        crash_at(number, lambda w=workspace: prepare_dataset(w, raw, image_size=8))
        try:
            seen = read_info(workspace)
        except DataError as error:
            assert "python -m tuning.prepare" in error.remedy
        else:
            assert seen in (expected.info, extended.info)
            open_dataset(workspace)
        assert prepare_dataset(workspace, raw, image_size=8).info == extended.info


def test_what_a_killed_run_had_moved_aside_is_put_back(workspace, faces):
    raw = faces({"a": 6, "b": 6})
    first = prepare_dataset(workspace, raw)
    workspace.split.rename(workspace.data / ".retired-123-cls_data")
    (workspace.data / ".partial-123-cls_data" / "train").mkdir(parents=True)
    (workspace.data / ".partial-123-abc-rows").mkdir()
    (workspace.data / ".partial-123-abc-rows" / "pixels").write_bytes(b"x")
    (workspace.data / ".partial-123-raw_yolo").mkdir()
    again = prepare_dataset(workspace, raw)
    assert again.changed is False
    assert again.info == first.info
    assert leftovers(workspace) == [".partial-123-raw_yolo"]


def test_a_full_disk_names_the_file_and_leaves_the_old_state(workspace, faces, save, monkeypatch):
    raw = faces({"a": 6, "b": 6})
    first = prepare_dataset(workspace, raw)
    save(raw / "a" / "new.png", 500)

    def full(operation, path):
        if path.name == "test.images.npy":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "fault_hook", full)
    with pytest.raises(OSError, match=r"test\.images\.npy"):
        prepare_dataset(workspace, raw)
    monkeypatch.setattr(files, "fault_hook", None)
    assert read_info(workspace) == first.info
    assert leftovers(workspace) == []
