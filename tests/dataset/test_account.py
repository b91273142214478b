"""Every file is accounted for by its reason, and errors, summary, JSON and report say the same."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from tuning.core.errors import DataError
from tuning.dataset import account
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources.samples import Ignored, Rejected
from tuning.dataset.summary import read_summary


def test_reasons_that_differ_in_values_are_one_entry():
    rejected = [Rejected(f"x.txt:{n}", f"class {n} is not one of the 2 in data.yaml") for n in (7, 8)]
    ignored = [Ignored("notes.txt", "not an image file")]
    dropped = [Rejected("a.png", "equal pixels carry another label", "a")] * 3
    entries = account.take(rejected, ignored, dropped)
    assert [(e.outcome, e.count, e.example) for e in entries] == [
        ("dropped", 3, "a.png"),
        ("unusable", 2, "x.txt:7"),
        ("ignored", 1, "notes.txt"),
    ]
    assert all(entry.remedy for entry in entries)
    assert account.best_remedy(entries) == entries[0].remedy
    assert "2 × class 7 is not one of the 2 in data.yaml (such as x.txt:7)" in account.words(entries)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("51000 × 1000 pixels; at most 50 megapixels are decoded", "make these images smaller"),
        ("too many pixels: Image size (4294836225 pixels) exceeds limit", "make these images smaller"),
        ("3 pixels are not a square of at least 8 × 8", "write the pixels of a square gray image"),
        ("the file is empty (0 bytes)", "fetch these files again"),
        ("the file has 300,000,000 bytes; at most 268,435,456 are read", "make these files smaller"),
        ("1 columns; the header has 3", "write every column in every row"),
        ("4 columns; a face box has 5: class, centre x, centre y, width, height", "write a box as class"),
        ("damaged: invalid stream", "fetch or convert"),
        ("cannot be read: Permission denied", "give yourself permission"),
        ("cannot be read: Input/output error", "copy or fetch"),
        ("nested more than 32 folders deep", "move what is in it"),
        ("a PNG file with too much text, or too large a colour profile", "save it again without"),
        ("an archive beside images, not unpacked", "unpack it where"),
        ("a placeholder of iCloud for a file that is not on this machine", "download the images"),
        ("a camera's raw file (NEF), which is not decoded", "convert the files to JPEG or PNG"),
        ("a link that leads out of the raw folder", "copy the files with `cp -rL`"),
        ("a link that leads out of the raw folder, and is broken", "fetch what the links lead to"),
        ("a broken link", "fetch what the links lead to"),
    ],
)
def test_a_remedy_fits_its_reason(reason, remedy):
    assert account.remedy(reason).startswith(remedy)


def test_nothing_to_account_for():
    assert account.take() == ()
    assert account.words(()) == ""
    assert account.best_remedy(()) == account.REMEDY


@pytest.fixture
def litter(faces, save):
    """Class folders with one file of many kinds."""
    raw = faces({"a": 8, "b": 8})
    (raw / "a" / "bad.png").write_text("text")
    (raw / "a" / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (raw / "a" / "notes.txt").write_text("text")
    (raw / "a" / "gone.png").symlink_to("nowhere.png")
    (raw / ".DS_Store").write_text("x")
    save(raw / "a" / ".thumbnails" / "1.png", 90)
    (raw / "__MACOSX").mkdir()
    save(raw / "stray.png", 91)
    shutil.copy(raw / "a" / "000.png", raw / "b" / "same.png")
    os.mkfifo(raw / "b" / "pipe")
    return raw


def test_every_file_is_in_the_account(litter, workspace):
    summary = prepare_dataset(workspace, litter).summary
    counts = {entry.reason: entry.count for entry in summary.account}
    assert sum(counts.values()) + summary.images == 16 + 10
    assert {(entry.outcome, entry.example) for entry in summary.account} == {
        ("dropped", "a/000.png"),
        ("unusable", "a/bad.png"),
        ("unusable", "a/gone.png"),
        ("unusable", "a/photo.heic"),
        ("unusable", "stray.png"),
        ("ignored", "a/notes.txt"),
        ("ignored", ".DS_Store"),
        ("ignored", "__MACOSX"),
        ("ignored", "a/.thumbnails"),
        ("ignored", "b/pipe"),
    }


def test_summary_json_and_report_say_the_same(litter, workspace):
    summary = prepare_dataset(workspace, litter).summary
    assert read_summary(workspace.pool_summary).account == summary.account
    found = json.loads(workspace.pool_summary.read_text())["account"]
    page, text = workspace.pool_report.read_text(), summary.text()
    for entry, written in zip(summary.account, found, strict=True):
        assert written["reason"] == entry.reason
        assert f"<code>{entry.example}</code>" in page
        assert entry.outcome == "dropped" or f"{entry.count} × {entry.reason}" in text


def test_an_empty_class_is_explained_by_its_own_files(faces, workspace):
    raw = faces({"a": 5, "b": 5})
    (raw / "c").mkdir()
    (raw / "c" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (raw / "c" / ".2.png").write_bytes(b"")
    (raw / "a" / "other.png").write_text("x")
    with pytest.raises(DataError, match=r"class 'c' has no usable image \(c\)") as caught:
        prepare_dataset(workspace, raw)
    assert "c/1.heic" in caught.value.problem
    assert "c/.2.png" in caught.value.problem
    assert "other.png" not in caught.value.problem
    assert not workspace.split_manifest.exists()


def test_a_folder_that_repeats_the_others_is_named(faces, workspace):
    raw = faces({"a": 5, "b": 5})
    (raw / "all").mkdir()
    for label in ("a", "b"):
        for image in (raw / label).iterdir():
            shutil.copy(image, raw / "all" / f"{label}{image.name}")
    with pytest.raises(DataError, match="class 'all' has no image of its own: all 10 images in all"):
        prepare_dataset(workspace, raw)
    assert prepare_dataset(workspace, raw, on_conflict="keep").summary.images == 20


def test_two_equal_classes_are_explained(faces, workspace):
    raw = faces({"a": 5})
    shutil.copytree(raw / "a", raw / "b")
    with pytest.raises(DataError, match="no usable images: 10 × equal pixels carry another label") as caught:
        prepare_dataset(workspace, raw)
    assert "--on-conflict" in caught.value.remedy


def test_strict_stops_at_what_cannot_be_decoded_with_its_remedy(faces, workspace):
    raw = faces({"a": 5, "b": 5})
    (raw / "a" / "photo.psd").write_bytes(b"8BPS\0\1" + bytes(30))
    with pytest.raises(DataError, match=r"photo\.psd: .*Photoshop") as caught:
        prepare_dataset(workspace, raw, on_bad="stop")
    assert caught.value.remedy.startswith("convert the files to JPEG or PNG")


def test_nearly_black_images_are_told(faces, save, workspace):
    import cv2

    raw = faces({"a": 8, "b": 8})
    for number in range(8):
        dark = np.random.default_rng(number).integers(0, 4, (20, 16), np.uint8)
        cv2.imwrite(str(raw / "b" / f"{number:03}.png"), dark)
    [note] = prepare_dataset(workspace, raw).summary.notes
    assert note.startswith("8 images are nearly black (mean below 8 of 255) or of one brightness, such as b/000.png; ")
    assert "; all of b:" in note


def test_images_of_one_brightness_are_told(faces, workspace):
    import cv2

    raw = faces({"a": 8, "b": 8})
    for number in range(8):
        cv2.imwrite(str(raw / "b" / f"{number:03}.png"), np.full((20 + number, 16), 255, np.uint8))
    [note] = prepare_dataset(workspace, raw).summary.notes
    assert note.startswith("8 images are nearly black") and "; all of b:" in note


def test_a_dark_image_among_many_is_not(faces, workspace):
    import cv2

    raw = faces({"a": 8, "b": 8})
    cv2.imwrite(str(raw / "b" / "000.png"), np.random.default_rng(0).integers(0, 4, (20, 16), np.uint8))
    assert prepare_dataset(workspace, raw).summary.notes == ()
