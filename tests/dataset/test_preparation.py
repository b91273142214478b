"""Raw folder to arrays: what is written, what is kept, and what a crash at any step leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem, UsageError
from tuning.core.workspace import Workspace
from tuning.dataset import pool
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.settings import Settings
from tuning.dataset.store.arrays import open_dataset, read_info
from tuning.dataset.store.file_state import verify_data


def split_of(workspace):
    """source -> split, as the manifest has it."""
    return {entry["source"]: entry["split"] for entry in json.loads(workspace.split_manifest.read_text())["images"]}


def state(raw):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_nlink) for path in raw.rglob("*.*")}


def leftovers(workspace):
    return [path.name for path in workspace.data.iterdir() if path.name.startswith(files.TEMPORARY_MARK)]


def test_everything_is_written_and_raw_stays_as_it_was(workspace, faces):
    raw = faces({"Happy": 20, "sad": 10})
    before = state(raw)
    prepared = prepare_dataset(workspace, raw, image_size=12)
    assert state(raw) == before
    assert prepared.changed
    assert prepared.added == 30
    assert prepared.summary.counts == {
        "happy": {"train": 14, "val": 3, "test": 3},
        "sad": {"train": 7, "val": 2, "test": 1},
    }
    assert json.loads(workspace.class_names.read_text()) == ["happy", "sad"]
    manifest = json.loads(workspace.pool_manifest.read_text())
    assert manifest["counts"] == {"images": 30, "classes": {"happy": 20, "sad": 10}}
    assert manifest["dataset_digest"] == prepared.info.digest == read_info(workspace).digest
    assert set(manifest["images"][0]) == {"file", "source", "sha256", "width", "height", "label", "group"}
    summary = json.loads(workspace.pool_summary.read_text())
    assert summary["imbalance"]["ratio"] == 2.0
    for entry in json.loads(workspace.split_manifest.read_text())["images"]:
        placed = workspace.split / entry["split"] / entry["file"]
        assert os.path.samefile(placed, workspace.pool / entry["file"])
    assert sum(1 for _ in workspace.split.glob("*/*/*")) == sum(1 for _ in workspace.pool.glob("*/*")) == 30
    assert leftovers(workspace) == []


def test_the_default_is_the_workspace_s_own_raw_folder(workspace, faces):
    faces({"a": 5, "b": 5}, workspace.raw)
    assert prepare_dataset(workspace).summary.images == 10


def test_again_on_an_unchanged_folder_does_nothing(workspace, faces, monkeypatch):
    raw = faces({"a": 5, "b": 5})
    first = prepare_dataset(workspace, raw)
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if path.name != ".prepare.lock"}
    monkeypatch.setattr(pool, "fill", None)
    again = prepare_dataset(workspace, raw)
    assert (again.info, again.summary, again.changed) == (first.info, first.summary, False)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_unchanged_folder_needs_neither_numpy_nor_images(workspace, faces):
    raw = faces({"a": 5, "b": 5})
    prepare_dataset(workspace, raw)
    code = (
        "import sys; from pathlib import Path; from tuning.core.workspace import Workspace\n"
        "from tuning.dataset.preparation import prepare_dataset\n"
        f"assert not prepare_dataset(Workspace(Path({str(workspace.root)!r})), {str(raw)!r}).changed\n"
        "assert not {'numpy', 'cv2', 'PIL'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_that_were_only_touched_are_no_change(workspace, faces):
    raw = faces({"a": 5, "b": 5})
    prepare_dataset(workspace, raw)
    os.utime(raw / "a" / "000.png", ns=(1, 1))
    os.utime(workspace.split / "val.images.npy", ns=(1, 1))
    assert not prepare_dataset(workspace, raw).changed


def test_a_split_that_was_painted_over_is_put_right(workspace, faces):
    raw = faces({"a": 12, "b": 12})
    first = prepare_dataset(workspace, raw)
    image = sorted(workspace.split.glob("train/*/*"))[0]
    before = image.read_bytes()
    image.write_bytes(b"painted")
    again = prepare_dataset(workspace, raw)
    assert (again.changed, again.info) == (True, first.info)
    assert image.read_bytes() == before


def test_an_image_added_to_a_folder_that_holds_an_archive_is_seen(workspace, faces, save, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.make_archive(str(folder / "faces"), "zip", faces({"a": 5, "b": 5}))
    assert prepare_dataset(workspace, folder).summary.images == 10
    assert not prepare_dataset(workspace, folder).changed
    for key in range(8):
        save(folder / "ab"[key % 2] / f"{key}.png", 500 + key)
    assert prepare_dataset(workspace, folder, accept_removed=True).summary.images == 8


@pytest.mark.parametrize("lost", ["pool_manifest", "pool_summary", "class_names", "split", "pool"])
def test_what_was_lost_is_made_again(workspace, faces, lost):
    raw = faces({"a": 5, "b": 5})
    first = prepare_dataset(workspace, raw)
    path = getattr(workspace, lost)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = prepare_dataset(workspace, raw)
    assert again.changed
    assert again.info == first.info
    assert path.exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": 1}'])
def test_a_damaged_pool_manifest_is_made_again(workspace, faces, damage):
    raw = faces({"a": 5, "b": 5})
    first = prepare_dataset(workspace, raw)
    workspace.pool_manifest.write_text(damage)
    assert prepare_dataset(workspace, raw).info == first.info


def test_the_same_images_give_the_same_digest_and_arrays_wherever_they_lie(tmp_path, faces):
    one = faces({"a": 9, "b": 9}, tmp_path / "one")
    other = tmp_path / "two" / "nested"
    for path in sorted(one.rglob("*.png")):
        target = other / "train" / path.parent.name.upper() / f"renamed-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    spaces = [Workspace(tmp_path / name) for name in ("w1", "w2")]
    infos = [prepare_dataset(w, raw).info for w, raw in zip(spaces, (one, tmp_path / "two"), strict=True)]
    assert infos[0] == infos[1]
    datasets = [open_dataset(w) for w in spaces]
    assert np.array_equal(datasets[0].train.images, datasets[1].train.images)
    assert np.array_equal(datasets[0].val.labels, datasets[1].val.labels)


def test_new_images_extend_the_split_and_move_nobody(workspace, faces, save):
    raw = faces({"a": 20, "b": 10})
    first = prepare_dataset(workspace, raw)
    before = split_of(workspace)
    for key in range(40):
        save(raw / "b" / f"0-new-{key}.png", 1000 + key)
    for key in range(5):
        save(raw / "c" / f"{key}.png", 2000 + key)
    again = prepare_dataset(workspace, raw)
    after = split_of(workspace)
    assert {source: after[source] for source in before} == before
    assert (again.added, again.removed, again.info.counts) == (45, 0, {"train": 52, "val": 12, "test": 11})
    assert again.info.classes == ("a", "b", "c")
    assert again.info.digest != first.info.digest


def test_a_new_copy_joins_the_split_of_its_original(workspace, faces):
    raw = faces({"a": 20, "b": 10})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    for path in list((raw / "a").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    again = prepare_dataset(workspace, raw)
    after = split_of(workspace)
    assert all(after[f"a/copy-{n:03}.png"] == before[f"a/{n:03}.png"] for n in range(20))
    assert (again.summary.copy_sets, again.summary.redundant) == (20, 20)


def test_moved_images_keep_their_place(workspace, faces):
    raw = faces({"a": 10, "b": 10})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    (raw / "train").mkdir()
    (raw / "a").rename(raw / "train" / "a")
    prepare_dataset(workspace, raw)
    assert split_of(workspace) == {source.replace("a/", "train/a/"): split for source, split in before.items()}


def test_images_that_vanished_are_refused_and_nothing_changes(workspace, faces, save):
    raw = faces({"a": 10, "b": 10})
    first = prepare_dataset(workspace, raw)
    before = split_of(workspace)
    (raw / "a" / "003.png").unlink()
    save(raw / "b" / "004.png", 999)
    (raw / "b" / "005.png").write_text("damaged")
    with pytest.raises(DataError, match="3 of 20 images") as caught:
        prepare_dataset(workspace, raw)
    for text in (
        "a/003.png (removed)",
        "b/004.png (its pixels have changed)",
        "b/005.png (the content is not an image",
    ):
        assert text in caught.value.problem
    assert read_info(workspace) == first.info
    assert split_of(workspace) == before
    assert leftovers(workspace) == []

    accepted = prepare_dataset(workspace, raw, accept_removed=True)
    assert (accepted.added, accepted.removed, accepted.summary.images) == (1, 3, 18)
    after = split_of(workspace)
    assert after == {s: p for s, p in before.items() if s not in ("a/003.png", "b/005.png")}


def test_an_image_that_comes_back_gets_its_old_place(workspace, faces, tmp_path):
    raw = faces({"a": 30, "b": 10})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    gone = [raw / "a" / f"{n:03}.png" for n in range(5)]
    for path in gone:
        path.rename(tmp_path / path.name)
    prepare_dataset(workspace, raw, accept_removed=True)
    for path in gone:
        (tmp_path / path.name).rename(path)
    prepare_dataset(workspace, raw)
    assert split_of(workspace) == before


def test_another_size_or_colour_keeps_the_split(workspace, faces):
    raw = faces({"a": 10, "b": 10})
    first = prepare_dataset(workspace, raw, image_size=12)
    before = workspace.split_manifest.read_bytes()
    again = prepare_dataset(workspace, raw, image_size=20, color="rgb")
    assert workspace.split_manifest.read_bytes() == before
    assert again.info.input_shape == (20, 20, 3)
    assert again.info.digest != first.info.digest
    assert open_dataset(workspace).train.images.shape == (14, 20, 20, 3)


@pytest.mark.parametrize("changes", [{"ratios": (80, 10, 10)}, {"seed": 1}])
def test_another_split_is_refused_before_anything_is_read(workspace, faces, monkeypatch, changes):
    raw = faces({"a": 10, "b": 10})
    prepare_dataset(workspace, raw)
    monkeypatch.setattr(pool, "fill", None)
    with pytest.raises(DataError, match="was made with"):
        prepare_dataset(workspace, raw, **changes)


class TestYolo:
    @pytest.fixture
    def raw(self, tmp_path, save):
        raw = tmp_path / "yolo"
        for number in range(12):
            save(raw / "images" / f"{number}.png", number, 40, 80)
            lines = ["0 0.25 0.5 0.5 1", "1 0.75 0.5 0.4 0.9"] if number % 2 else ["0 0.5 0.5 0.9 0.9"]
            label = raw / "labels" / f"{number}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("\n".join(lines))
        (raw / "data.yaml").write_text("names: [happy, sad, fear]")
        return raw

    def test_faces_of_one_photo_share_a_split(self, workspace, raw):
        prepared = prepare_dataset(workspace, raw, image_size=16)
        assert prepared.summary.images == 18
        assert "Left out, because no image carries them: fear." in prepared.summary.notes
        splits = split_of(workspace)
        assert all(splits[f"images/{n}.png#1"] == splits[f"images/{n}.png#2"] for n in range(1, 12, 2))

    def test_whole_images_keep_the_places_of_their_faces(self, workspace, raw):
        prepare_dataset(workspace, raw, image_size=16)
        before = split_of(workspace)
        for number in range(1, 12, 2):
            (raw / "labels" / f"{number}.txt").write_text("1 0.5 0.5 0.9 0.9")
        with pytest.raises(DataError, match="6 of 18 images"):
            prepare_dataset(workspace, raw, image_size=16, crop="image")
        prepare_dataset(workspace, raw, image_size=16, crop="image", accept_removed=True)
        after = split_of(workspace)
        assert len(after) == 12
        assert {source: before[source] for source in after} == after

    def test_one_image_with_two_labels_is_a_conflict_when_taken_whole(self, workspace, raw):
        (raw / "labels" / "0.txt").write_text("1 0.5 0.5 0.9 0.9")
        (raw / "labels" / "2.txt").write_text("1 0.5 0.5 0.9 0.9")
        (raw / "labels" / "4.txt").write_text("1 0.5 0.5 0.9 0.9")
        prepared = prepare_dataset(workspace, raw, crop="image", image_size=16)
        assert prepared.summary.dropped == 12
        assert prepared.summary.images == 6


def test_conflicting_labels_are_dropped_and_listed(workspace, faces):
    raw = faces({"a": 10, "b": 10})
    shutil.copy(raw / "a" / "000.png", raw / "b" / "same.png")
    summary = prepare_dataset(workspace, raw).summary
    assert summary.images == 19
    assert [conflict.sources for conflict in summary.conflicts] == [{"a/000.png": "a", "b/same.png": "b"}]
    assert len(list((workspace.pool / "a").iterdir())) == 9
    assert json.loads(workspace.pool_summary.read_text())["conflicts"]["dropped_images"] == 2


def test_unusable_files_are_in_the_summary(workspace, faces, tmp_path):
    raw = faces({"a": 10, "b": 10})
    (raw / "a" / "bad.png").write_text("text")
    (raw / "a" / "notes.txt").write_text("text")
    (raw / "a" / "link.png").symlink_to(tmp_path)
    summary = prepare_dataset(workspace, raw).summary
    assert {entry.source for entry in summary.rejected} == {"a/bad.png", "a/link.png"}
    assert summary.ignored == {"not an image file": 1}
    with pytest.raises(DataError, match=r"a/link\.png: a link"):
        prepare_dataset(workspace, raw, on_bad="stop")


def test_a_raw_folder_that_prepare_itself_writes_is_refused(workspace, faces):
    raw = faces({"a": 5, "b": 5})
    prepare_dataset(workspace, raw)
    for own in (workspace.pool, workspace.split / "train", workspace.data, workspace.root):
        with pytest.raises(UsageError, match="overlaps"):
            prepare_dataset(workspace, own)


def test_a_link_that_leads_to_no_usable_path_is_refused(workspace, tmp_path):
    target = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(target)
    os.symlink(target, tmp_path / "link")
    os.symlink("circle", tmp_path / "circle")
    for name, problem in (("link", "leads to .*: that path is not valid text"), ("circle", "does not exist")):
        with pytest.raises(DataError, match=problem):
            prepare_dataset(workspace, tmp_path / name)
    assert not workspace.data.exists()


def test_two_at_once_are_refused(workspace, faces):
    from filelock import FileLock

    raw = faces({"a": 5, "b": 5})
    workspace.create()
    with (
        FileLock(workspace.data / ".prepare.lock"),
        pytest.raises(EnvironmentProblem, match="another process is preparing"),
    ):
        prepare_dataset(workspace, raw)


@pytest.mark.parametrize(
    "changes",
    [{"image_size": 4}, {"image_size": 5000}, {"color": "cmyk"}, {"on_bad": "x"}, {"crop": "x"}, {"ratios": (1, 1, 1)}],
)
def test_settings_that_cannot_be_meant_are_refused(changes):
    with pytest.raises(UsageError):
        Settings(**changes)


class TestRealData:
    """Facts about real data sets, where they are at hand."""

    def test_ck48(self, datasets, workspace):
        summary = prepare_dataset(workspace, datasets / "ck48").summary
        assert summary.images == 981
        assert (summary.imbalance.largest, summary.imbalance.smallest) == ("surprise", "contempt")
        assert all(min(splits.values()) > 0 for splits in summary.counts.values())

    def test_faces_yolo(self, datasets, workspace):
        summary = prepare_dataset(workspace, datasets / "faces_yolo").summary
        assert (summary.source, summary.images, len(summary.counts)) == ("YOLO export", 690, 8)
        assert summary.rejected == ()


@pytest.mark.parametrize("name", ["cls_pool/a/mine.png", "cls_pool/mine.png", "cls_data/train/a/mine.png"])
@pytest.mark.parametrize("first", [True, False])
def test_files_that_a_person_put_into_the_pool_or_the_split_are_not_lost(workspace, faces, save, name, first):
    raw = faces({"a": 5, "b": 5})
    if not first:
        prepare_dataset(workspace, raw)
    mine = save(workspace.data / name, 99)
    content = mine.read_bytes()
    with pytest.raises(DataError, match=r"1 files in it are not from there, such as .*mine\.png") as caught:
        prepare_dataset(workspace, raw)
    assert caught.value.remedy.startswith("move them out")
    assert mine.read_bytes() == content
    mine.rename(raw / "a" / "mine.png")
    assert prepare_dataset(workspace, raw).summary.images == 11


@pytest.mark.parametrize("litter", ["cls_pool/a/.DS_Store", "cls_data/train/Thumbs.db", "cls_data/@eaDir/x/y.jpg"])
def test_what_looking_at_the_images_leaves_there_is_no_change(workspace, faces, litter):
    raw = faces({"a": 5, "b": 5})
    prepare_dataset(workspace, raw)
    path = workspace.data / litter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    verify_data(workspace)
    assert not prepare_dataset(workspace, raw).changed
    assert prepare_dataset(workspace, raw, image_size=12).changed
