"""Every raw file that was there when data were prepared is known by its content, whatever became of it."""

from __future__ import annotations

import csv
import os
import shutil
import zipfile

import pytest

from tuning.core.errors import DataError
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.store.file_state import verify_data


def copied_again(raw):
    """The raw folder or file as it would be after another `cp -r`: the same bytes at other times."""
    for path in [raw, *raw.rglob("*")] if raw.is_dir() else [raw]:
        os.utime(path, ns=(1, 1))


def folder(tmp_path, faces, save):
    raw = faces({"a": 8, "b": 8})
    shutil.copy(raw / "a" / "000.png", raw / "b" / "the same.png")
    (raw / "a" / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (raw / "a" / "empty.png").write_bytes(b"")
    (raw / "a" / "notes.txt").write_text("no image")
    (raw / "b" / "no suffix").write_bytes((raw / "b" / "003.png").read_bytes())
    save(raw / "b" / "at 9.41\u202fAM \\ 1.png", 90)
    save(raw / "b" / "two\nlines\there.png", 91)
    return raw


def yolo_export(tmp_path, faces, save):
    raw = tmp_path / "raw"
    for number in range(16):
        save(raw / "images" / f"{number}.png", number, 40, 40)
        (raw / "labels").mkdir(exist_ok=True)
        (raw / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.3 0.3 0.5 0.5\n{number % 2} 0.7 0.7 0.5 0.5\n")
    (raw / "data.yaml").write_text("names: [a, b]\n")
    return raw


def table(tmp_path, faces, save):
    raw = tmp_path / "raw" / "fer2013.csv"
    raw.parent.mkdir()
    with raw.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels"])
        writer.writerows([row % 2, " ".join(str((row * 7 + at) % 256) for at in range(2304))] for row in range(16))
    return raw


def archive(tmp_path, faces, save):
    plain, raw = folder(tmp_path, faces, save), tmp_path / "faces.zip"
    with zipfile.ZipFile(raw, "w") as content:
        for path in sorted(plain.rglob("*.png")):
            if path.name.isprintable():
                content.write(path, path.relative_to(plain))
    return raw


def folder_with_an_archive(tmp_path, faces, save):
    raw = tmp_path / "download"
    raw.mkdir()
    archive(tmp_path, faces, save).rename(raw / "faces.zip")
    (raw / "README.txt").write_text("unpack me")
    return raw


SOURCES = (folder, yolo_export, table, archive, folder_with_an_archive)


@pytest.mark.parametrize("source", SOURCES)
def test_raw_data_that_were_copied_again_change_nothing(source, tmp_path, faces, save, workspace):
    raw = source(tmp_path, faces, save)
    digest = prepare_dataset(workspace, raw).info.digest
    copied_again(raw)
    verify_data(workspace)
    copied_again(raw)
    again = prepare_dataset(workspace, raw)
    assert not again.changed and again.info.digest == digest


@pytest.mark.parametrize("source", SOURCES)
def test_one_other_byte_of_any_raw_file_is_named(source, tmp_path, faces, save, workspace):
    raw = source(tmp_path, faces, save)
    prepare_dataset(workspace, raw)
    for path in [path for path in raw.rglob("*") if path.is_file()] if raw.is_dir() else [raw]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        with pytest.raises(DataError, match=r"\(changed\)"):
            verify_data(workspace)
        path.write_bytes(content)
        os.utime(path, ns=(2, 2))
        verify_data(workspace)


def test_two_sources_keep_their_files_apart(tmp_path, faces, save, workspace):
    one, two = faces({"a": 8, "b": 8}, tmp_path / "x" / "faces"), tmp_path / "y" / "faces"
    for number in range(8):
        save(two / "ab"[number % 2] / f"{number:03}.png", 100 + number)
    prepare_dataset(workspace, [one, two])
    copied_again(one), copied_again(two)
    verify_data(workspace)
    shutil.copy(one / "a" / "000.png", two / "a" / "000.png")
    with pytest.raises(DataError, match=r"y/faces/a/000\.png \(changed\)"):
        verify_data(workspace)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs files that cannot be read")
def test_a_file_that_could_not_be_read_is_no_change_until_it_can(faces, workspace):
    raw = faces({"a": 8, "b": 8})
    locked = raw / "a" / "003.png"
    locked.chmod(0)
    prepare_dataset(workspace, raw)
    copied_again(raw)
    verify_data(workspace)
    locked.chmod(0o600)
    os.utime(locked, ns=(3, 3))
    with pytest.raises(DataError, match=r"a/003\.png \(changed\)"):
        verify_data(workspace)
