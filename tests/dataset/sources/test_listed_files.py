"""Tables beside images that name files are no tables of pixels; files that are not what they are called are named."""

from __future__ import annotations

import shutil
import tarfile
import zipfile

import pytest


def test_a_list_of_files_beside_class_folders_is_no_table_of_pixels(save, tmp_path, outcome_of):
    """As RAF-DB comes: train/1 …, and `train_labels.csv` with the columns image and label."""
    raw = tmp_path / "raw"
    for number in range(24):
        save(raw / "DATASET" / ("test" if number > 17 else "train") / str(1 + number % 2) / f"{number}.png", number)
    (raw / "train_labels.csv").write_text("image,label\n0.png,1\n1.png,2\n")
    outcome = outcome_of(raw)
    assert outcome.code == 0 and {*outcome.result["summary"]["classes"]} == {"1", "2"}


@pytest.mark.parametrize("folder", ["", "images"])
def test_images_that_only_a_list_sorts_are_refused_with_the_list(folder, save, tmp_path, outcome_of):
    raw = tmp_path / "raw"
    for number in range(8):
        save(raw / folder / f"{number}.png", number)
    (raw / "labels.csv").write_text("filename;label\n0.png;happy\n1.png;sad\n")
    outcome = outcome_of(raw)
    assert outcome.code == 3 and "labels.csv says which class each image is of" in outcome.error
    assert "in a folder named after its class" in outcome.remedy


def test_a_list_in_a_text_file_is_one_too(save, tmp_path, outcome_of):
    """As RAF-DB's archive of aligned images comes."""
    raw = tmp_path / "raw"
    for number in range(8):
        save(raw / "Image" / "aligned" / f"train_{number:05}_aligned.png", number)
    (raw / "EmoLabel").mkdir()
    (raw / "EmoLabel" / "list_patition_label.txt").write_text("train_00000.jpg 5\ntrain_00001.jpg 1\n")
    outcome = outcome_of(raw)
    assert outcome.code == 3 and "list_patition_label.txt says which class each image is of" in outcome.error


@pytest.mark.parametrize("beside", ["list", "preview", "text"])
def test_an_archive_that_is_not_alone_is_named(beside, save, faces, tmp_path, outcome_of):
    """As RAF-DB comes: DATASET.zip and lists of labels."""
    images = faces({"a": 8, "b": 8}, tmp_path / "images")
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw" / "DATASET.zip", "w") as package:
        for path in sorted(images.rglob("*.png")):
            package.write(path, path.relative_to(images))
    if beside == "preview":
        save(tmp_path / "raw" / "preview.png", 99)
    else:
        name, text = {"list": ("labels.csv", "image,label\n0.png,1\n"), "text": ("notes.txt", "x")}[beside]
        (tmp_path / "raw" / name).write_text(text)
    outcome = outcome_of(tmp_path / "raw")
    if beside == "text":
        assert outcome.code == 0 and {*outcome.result["summary"]["classes"]} == {"a", "b"}
        return
    assert outcome.code == 3 and "DATASET.zip beside" in outcome.error and "only where it is alone" in outcome.error
    assert f"give --raw {tmp_path / 'raw' / 'DATASET.zip'} if" in outcome.remedy


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fer2013.csv.gz", "an archive of a kind that is not unpacked"),
        ("faces.zip.001", "an archive of a kind that is not unpacked"),
        ("train-00000-of-00002.tfrecord", "of a kind that is not read"),
        ("faces.mat", "of a kind that is not read"),
    ],
)
def test_files_of_other_kinds_are_named(name, said, tmp_path, outcome_of):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(b"\0" * 64)
    outcome = outcome_of(tmp_path / "raw")
    assert outcome.code == 3 and name in outcome.error and said in outcome.error


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer", "git lfs pull"),
        ("<!DOCTYPE html><html>404</html>", "a web page", "download them again"),
    ],
)
def test_what_lies_in_the_place_of_an_image_is_named(content, what, remedy, faces, outcome_of):
    raw = faces({"a": 8, "b": 8})
    for path in raw.glob("b/*.png"):
        path.write_text(content)
    outcome = outcome_of(raw)
    assert outcome.code == 3 and f"({what})" in outcome.error and remedy in outcome.remedy


def test_an_archive_is_opened_by_its_content(faces, tmp_path, outcome_of):
    raw = faces({"a": 8, "b": 8})
    with tarfile.open(tmp_path / "faces.zip", "w:gz") as packed:
        packed.add(raw, "faces")
    with zipfile.ZipFile(tmp_path / "faces.tar.gz", "w") as package:
        for path in sorted(raw.rglob("*.png")):
            package.write(path, path.relative_to(raw))
    shutil.rmtree(raw)
    for name in ("faces.zip", "faces.tar.gz"):
        outcome = outcome_of(tmp_path / name)
        assert outcome.code == 0 and {*outcome.result["summary"]["classes"]} == {"a", "b"}, name
