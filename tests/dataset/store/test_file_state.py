"""Data that changed behind our back are found and named; data that were only copied are not."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.store.file_state import verify_data


@pytest.fixture
def raw(faces):
    return faces({"a": 8, "b": 8})


@pytest.fixture
def prepared(workspace, raw):
    prepare_dataset(workspace, raw)
    return workspace


def later(path):
    """The file as it is, at another time."""
    os.utime(path, ns=(1, 1))


def any_image(workspace):
    return sorted(workspace.split.glob("test/*/*"))[0]


def test_prepared_data_are_as_prepared(prepared):
    before = prepared.data_state.read_bytes()
    verify_data(prepared)
    assert prepared.data_state.read_bytes() == before


def test_nothing_prepared_is_told(workspace):
    with pytest.raises(DataError, match="no prepared data set"):
        verify_data(workspace)


CHANGES = {
    "a new image in raw": (lambda w, raw, save: save(raw / "a" / "new.png", 99), r"raw/a/new\.png \(added\)"),
    "an image gone from raw": (lambda w, raw, save: (raw / "a" / "003.png").unlink(), r"raw/a/003\.png \(missing\)"),
    "another image in raw": (lambda w, raw, save: save(raw / "b" / "003.png", 98), r"raw/b/003\.png \(changed\)"),
    "a damaged image in raw": (
        lambda w, raw, save: (raw / "b" / "003.png").write_text("x"),
        r"raw/b/003\.png \(changed\)",
    ),
    "an image put into a split": (
        lambda w, raw, save: save(w.split / "train" / "a" / "x.png", 97),
        r"x\.png \(added\)",
    ),
    "an image taken from a split": (lambda w, raw, save: any_image(w).unlink(), r"\.png \(missing\)"),
    "an image moved between splits": (
        lambda w, raw, save: any_image(w).rename(w.split / "train" / "a" / any_image(w).name),
        r"test/.*\(missing\), .*train/.*\(added\)|train/.*\(added\), .*test/.*\(missing\)",
    ),
    "an image painted over": (lambda w, raw, save: save(any_image(w), 96), r"\(changed\)"),
    "an image taken from the pool": (
        lambda w, raw, save: sorted(w.pool.glob("*/*"))[0].unlink(),
        r"cls_pool/.*\(missing\)",
    ),
    "an array of another size": (
        lambda w, raw, save: (w.split / "test.images.npy").write_bytes(b"x"),
        r"test\.images\.npy \(changed\)",
    ),
    "an array taken away": (
        lambda w, raw, save: (w.split / "val.labels.npy").unlink(),
        r"val\.labels\.npy \(missing\)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named(name, prepared, raw, save):
    change, pattern = CHANGES[name]
    change(prepared, raw, save)
    with pytest.raises(DataError, match=pattern) as caught:
        verify_data(prepared)
    assert "python -m tuning.prepare" in caught.value.remedy


def test_one_changed_byte_in_an_array_is_found(prepared):
    path = prepared.split / "test.images.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"test\.images\.npy \(changed\)"):
        verify_data(prepared)


def test_other_times_alone_are_no_change_and_noted_down(prepared, raw):
    for path in (raw / "a" / "003.png", any_image(prepared), prepared.split / "train.images.npy"):
        later(path)
    before = prepared.data_state.read_bytes()
    verify_data(prepared)
    assert prepared.data_state.read_bytes() != before
    after = prepared.data_state.read_bytes()
    verify_data(prepared)
    assert prepared.data_state.read_bytes() == after


def test_a_copied_workspace_is_sound(tmp_path, faces):
    workspace = Workspace(tmp_path / "one")
    faces({"a": 8, "b": 8}, workspace.raw)
    prepare_dataset(workspace)
    shutil.copytree(workspace.root, tmp_path / "two", copy_function=shutil.copyfile)
    shutil.rmtree(workspace.root)
    verify_data(Workspace(tmp_path / "two"))
    (tmp_path / "two" / "data" / "raw_yolo" / "a" / "003.png").unlink()
    with pytest.raises(DataError, match=r"a/003\.png \(missing\)"):
        verify_data(Workspace(tmp_path / "two"))


def test_raw_data_that_are_gone_as_a_whole_are_not_missed(prepared, raw):
    shutil.rmtree(raw)
    verify_data(prepared)


def test_without_a_note_the_arrays_digests_tell(prepared):
    prepared.data_state.unlink()
    verify_data(prepared)
    path = prepared.split / "val.images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(DataError, match=r"val\.images\.npy \(changed\)"):
        verify_data(prepared)


def test_prepare_puts_right_what_was_named(prepared, raw, save):
    save(raw / "a" / "new.png", 99)
    any_image(prepared).unlink()
    prepare_dataset(prepared, raw)
    verify_data(prepared)


def test_it_is_quick(workspace, tmp_path, save):
    """Ten thousand files: sizes and times only. Generous, because the machine may be busy."""
    raw = tmp_path / "raw"
    for key in range(10):
        save(raw / "ab"[key % 2] / f"{key}.png", key)
    for number in range(10_000):
        (raw / "a" / f"{number}.txt").write_bytes(b"")
    prepare_dataset(workspace, raw)
    start = time.process_time()
    verify_data(workspace)
    assert time.process_time() - start < 0.5
