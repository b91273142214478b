"""What the last run decoded is used again where it is unchanged, and nowhere else; the result is the same."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from tuning.core.workspace import Workspace
from tuning.dataset import pool
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.store.arrays import open_dataset


def settle(raw):
    """Files as they are a day after they were written: what is younger than two seconds is never trusted."""
    for path in raw.rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))


@pytest.fixture
def raw(faces):
    raw = faces({"a": 12, "b": 12})
    settle(raw)
    return raw


@pytest.fixture
def same(tmp_path):
    """Compares a workspace with a fresh one made from the same raw folder."""

    def check(workspace, raw, **options):
        fresh = Workspace(tmp_path / "fresh")
        shutil.rmtree(fresh.root, ignore_errors=True)
        prepare_dataset(fresh, raw, **options)
        assert workspace.pool_report.read_bytes() == fresh.pool_report.read_bytes()
        mine, others = open_dataset(workspace), open_dataset(fresh)
        if mine.info.digest == others.info.digest:
            assert np.array_equal(mine.train.images, others.train.images)
        files = sorted(path.relative_to(workspace.pool) for path in workspace.pool.rglob("*.*"))
        assert files == sorted(path.relative_to(fresh.pool) for path in fresh.pool.rglob("*.*"))
        assert all((workspace.pool / name).read_bytes() == (fresh.pool / name).read_bytes() for name in files)

    return check


@pytest.mark.parametrize("size", [8, 48])
def test_only_what_was_added_or_changed_is_decoded(workspace, raw, save, same, size):
    assert prepare_dataset(workspace, raw, image_size=size).decoded == 24
    save(raw / "a" / "new.png", 90)
    save(raw / "b" / "003.png", 91, 30, 30)
    again = prepare_dataset(workspace, raw, image_size=size, accept_removed=True)
    assert (again.changed, again.decoded, again.summary.images) == (True, 2, 25)
    by_source = {path.name: path for path in workspace.pool.rglob("*.png")}
    assert len(by_source) == 25
    copy = Workspace(workspace.root.with_name("copy"))
    shutil.copytree(workspace.root, copy.root)
    shutil.rmtree(copy.decoded)
    copy.pool_manifest.unlink()
    whole = prepare_dataset(copy, raw, image_size=size)
    assert (whole.decoded, whole.info) == (25, again.info)
    for name in ("train.images.npy", "val.images.npy", "test.images.npy"):
        assert (copy.split / name).read_bytes() == (workspace.split / name).read_bytes()
    assert copy.split_manifest.read_bytes() == workspace.split_manifest.read_bytes()
    assert copy.pool_report.read_bytes() == workspace.pool_report.read_bytes()


def test_unsettled_files_are_decoded_again(workspace, raw, save):
    save(raw / "a" / "000.png", 80)
    prepare_dataset(workspace, raw)
    save(raw / "b" / "new.png", 81)
    assert prepare_dataset(workspace, raw).decoded == 2


def damage(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DOUBTS = {
    "a flipped bit in the pixels": (lambda w: damage(w.decoded / "pixels", 64 * 5), 1),
    "a flipped bit in a thumbnail": (lambda w: damage(w.decoded / "thumbs", 0), 1),
    "a flipped bit in a signature": (lambda w: damage(w.decoded / "signatures", -1), 1),
    "pixels cut short": (lambda w: os.truncate(w.decoded / "pixels", 64 * 20 + 3), 4),
    "no pixels": (lambda w: (w.decoded / "pixels").unlink(), 24),
    "signatures cut short": (lambda w: os.truncate(w.decoded / "signatures", 44 * 20), 4),
    "no index": (lambda w: (w.decoded / "index").unlink(), 24),
    "another index": (lambda w: (w.decoded / "index").write_text("{}\n"), 24),
    "a binary index": (lambda w: (w.decoded / "index").write_bytes(b"\xff" * 99), 24),
    "a torn line": (lambda w: os.truncate(w.decoded / "index", (w.decoded / "index").stat().st_size - 9), 1),
    "no folder": (lambda w: shutil.rmtree(w.decoded), 24),
    "a pool file painted over": (lambda w: sorted(w.pool.glob("*/*"))[3].write_bytes(b"x" * 99), 1),
    "a pool file gone": (lambda w: sorted(w.pool.glob("*/*"))[3].unlink(), 1),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_is_doubtful_is_decoded_again(workspace, raw, same, name):
    prepare_dataset(workspace, raw, image_size=8)
    doubt, decoded = DOUBTS[name]
    doubt(workspace)
    workspace.pool_manifest.unlink()
    assert prepare_dataset(workspace, raw, image_size=8).decoded == decoded
    same(workspace, raw, image_size=8)


def test_other_pixels_are_other_rows(workspace, raw):
    prepare_dataset(workspace, raw, image_size=8)
    assert prepare_dataset(workspace, raw, image_size=8, color="rgb").decoded == 24
    assert prepare_dataset(workspace, raw, image_size=12, color="rgb").decoded == 24


def test_nothing_is_kept_where_nothing_shall_be(workspace, raw):
    prepare_dataset(workspace, raw, keep_decoded=False)
    assert list(workspace.decoded.iterdir()) == []
    workspace.pool_manifest.unlink()
    assert prepare_dataset(workspace, raw).decoded == 24


def test_where_links_are_forbidden_images_are_decoded_again(workspace, raw, same, monkeypatch):
    prepare_dataset(workspace, raw)
    workspace.pool_manifest.unlink()

    def forbidden(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(pool.os, "link", forbidden)
    assert prepare_dataset(workspace, raw).decoded == 24
    same(workspace, raw)


def test_faces_of_a_photo_and_rows_of_a_table(tmp_path, save):
    yolo = tmp_path / "yolo"
    for number in range(12):
        save(yolo / "images" / f"{number}.png", number, 40, 80)
        (yolo / "labels").mkdir(exist_ok=True)
        (yolo / "labels" / f"{number}.txt").write_text("0 0.25 0.5 0.5 1\n1 0.75 0.5 0.4 0.9")
    (yolo / "data.yaml").write_text("names: [happy, sad]")
    settle(yolo)
    workspace = Workspace(tmp_path / "one")
    assert prepare_dataset(workspace, yolo).decoded == 24
    (yolo / "labels" / "3.txt").write_text("0 0.25 0.5 0.5 1\n1 0.75 0.5 0.3 0.9")
    again = prepare_dataset(workspace, yolo, accept_removed=True)
    # A box that moved is another face of the same, unchanged photo.
    assert (again.decoded, again.summary.images) == (1, 24)

    rng = np.random.default_rng(0)
    rows = [f"{n % 2},{' '.join(map(str, rng.integers(0, 256, 64)))},T" for n in range(25)]
    table = tmp_path / "fer.csv"
    table.write_text("\n".join(["emotion,pixels,Usage", *rows[:24]]))
    workspace = Workspace(tmp_path / "two")
    assert prepare_dataset(workspace, table).decoded == 24
    table.write_text("\n".join(["emotion,pixels,Usage", *rows]))
    assert prepare_dataset(workspace, table).decoded == 1


def test_a_painted_split_is_put_right(workspace, raw):
    first = prepare_dataset(workspace, raw)
    image = sorted(workspace.split.glob("train/*/*"))[0]
    image.write_bytes(b"painted")
    again = prepare_dataset(workspace, raw)
    assert (again.changed, again.info, again.decoded) == (True, first.info, 1)
    assert image.read_bytes() != b"painted"


def test_an_unchanged_folder_needs_neither_numpy_nor_images(workspace, raw):
    import subprocess
    import sys

    prepare_dataset(workspace, raw)
    code = (
        "import sys; from pathlib import Path; from tuning.core.workspace import Workspace\n"
        "from tuning.dataset.preparation import prepare_dataset\n"
        f"assert not prepare_dataset(Workspace(Path({str(workspace.root)!r})), {str(raw)!r}).changed\n"
        "assert not {'numpy', 'cv2', 'PIL'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
