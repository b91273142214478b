"""Near copies and conflicts in a whole pool: who shares a split, who stays, and what the report says."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest

from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting import leakage, signature
from tuning.dataset.splitting import near_duplicates as near


def face(key, side=48):
    rng = np.random.default_rng(key)
    gray = np.zeros((side, side), np.float32)
    for cells in (3, 6, 12, 24):
        gray += cv2.resize(rng.normal(size=(cells, cells)).astype(np.float32), (side, side)) / cells**0.5
    return (40 + 170 * (gray - gray.min()) / np.ptp(gray)).astype(np.uint8)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def raw(tmp_path):
    """Thirty faces, each also darker, and every other one also mirrored."""
    raw = tmp_path / "faces"
    for key in range(30):
        image, label = face(key), "ab"[key % 2]
        write(raw / label / f"{key:02}.png", image)
        write(raw / label / f"{key:02}-dark.png", (image * 0.7).astype(np.uint8))
        if key % 4 < 2:
            write(raw / label / f"{key:02}-mirrored.png", image[:, ::-1])
    return raw


def homes(workspace):
    found = {}
    for entry in json.loads(workspace.split_manifest.read_text())["images"]:
        found.setdefault(entry["source"].split("/")[1][:2], set()).add(entry["split"])
    return found


def places(workspace):
    return {entry["source"]: entry["split"] for entry in json.loads(workspace.split_manifest.read_text())["images"]}


def test_near_copies_share_a_split(workspace, raw):
    summary = prepare_dataset(workspace, raw).summary
    assert all(len(splits) == 1 for splits in homes(workspace).values())
    assert (summary.near.sets, summary.near.images, summary.near.other_label) == (30, 76, 0)
    assert summary.near.mirrored >= 16
    assert (summary.leakage.near, summary.leakage.exact, summary.naive.exact) == (0, 0, 0)
    assert summary.naive.near > 0
    assert "near copies" in summary.text()
    narrow = summary.text(width=60)
    assert narrow.split() == summary.text().split()
    # A word that is longer, such as a path, stays whole.
    assert all(len(line) <= 60 or " " not in line.strip() for line in narrow.splitlines())


def test_a_background_that_makes_different_faces_alike_is_told(workspace, raw, tmp_path):
    assert not any("One set of near copies" in note for note in prepare_dataset(workspace, raw).summary.notes)
    masked = tmp_path / "masked"
    for key in range(90):
        image = face(key)
        if key % 3:
            image = 128 + image // 64
            image[:, :16] = image[:, 32:] = 0
        write(masked / "ab"[key % 2] / f"{key:02}.png", image)
    summary = prepare_dataset(Workspace(tmp_path / "other"), masked).summary
    assert summary.near.largest == 60
    assert any("One set of near copies holds 60 of 90 images" in note for note in summary.notes)


def test_a_near_copy_that_comes_later_joins_the_first(workspace, raw):
    for path in raw.rglob("*-dark.png"):
        path.unlink()
    prepare_dataset(workspace, raw)
    before = places(workspace)
    for key in range(30):
        write(raw / "ab"[key % 2] / f"{key:02}-later.png", cv2.GaussianBlur(face(key), (3, 3), 0.6))
    prepared = prepare_dataset(workspace, raw)
    assert prepared.added == 30
    assert all(len(splits) == 1 for splits in homes(workspace).values())
    assert {source: places(workspace)[source] for source in before} == before


def test_near_copies_that_have_had_places_in_different_splits_keep_them(workspace, raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(near, "find", lambda *_: [])
        prepare_dataset(workspace, raw)
    before = places(workspace)
    write(raw / "a" / "new.png", face(99))
    prepared = prepare_dataset(workspace, raw)
    assert {source: places(workspace)[source] for source in before} == before
    assert prepared.summary.leakage.near > 0
    assert any("no image is moved" in note for note in prepared.summary.notes)
    assert "Leakage: " in workspace.pool_report.read_text()


def test_a_newcomer_that_is_near_to_images_of_two_splits_is_left_out(workspace, raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(near, "find", lambda *_: [])
        prepare_dataset(workspace, raw)
    found = places(workspace)
    key = next(k for k in range(30) if len({s for p, s in found.items() if p.split("/")[1].startswith(f"{k:02}")}) > 1)
    write(raw / "ab"[key % 2] / "new.png", (face(key) * 0.9).astype(np.uint8))
    prepared = prepare_dataset(workspace, raw)
    assert prepared.added == 0
    assert [entry.source.split("/")[1] for entry in prepared.summary.rejected] == ["new.png"]


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [("drop", {"a": 6, "b": 6}, 5), ("keep", {"a": 9, "b": 8}, 0), ("majority", {"a": 8, "b": 6}, 3)],
)
def test_conflicting_labels(workspace, tmp_path, policy, kept, dropped):
    """Of five equal pairs: once two against one, once one against one."""
    raw = tmp_path / "faces"
    for key in range(12):
        write(raw / "ab"[key % 2] / f"{key:02}.png", face(key))
    for name in ("a/x1", "a/x2", "b/x3"):
        write(raw / f"{name}.png", face(50))
    for name in ("a/y1", "b/y2"):
        write(raw / f"{name}.png", face(51))
    summary = prepare_dataset(workspace, raw, on_conflict=policy).summary
    assert {label: sum(splits.values()) for label, splits in summary.counts.items()} == kept
    assert (len(summary.conflicts), summary.dropped) == (2, dropped)
    assert f"--on-conflict {policy}" in summary.text()
    page = workspace.pool_report.read_text()
    assert "Conflicts (2)" in page
    assert not prepare_dataset(workspace, raw, on_conflict=policy).changed


def test_another_policy_that_takes_images_away_needs_consent(workspace, tmp_path):
    raw = tmp_path / "faces"
    for key in range(12):
        write(raw / "ab"[key % 2] / f"{key:02}.png", face(key))
    write(raw / "a" / "x.png", face(1))
    prepare_dataset(workspace, raw, on_conflict="keep")
    with pytest.raises(DataError, match="equal pixels carry another label"):
        prepare_dataset(workspace, raw)
    assert prepare_dataset(workspace, raw, accept_removed=True).removed == 2


def image(name, sha, subject=None):
    return PooledImage(name, name, sha, 8, 8, "a", subject=subject)


def test_leakage_counts_test_images_whose_like_is_in_train():
    images = [image("1", "s"), image("2", "s"), image("3", "t"), image("4", "u"), image("5", "v"), image("6", "w")]
    splits = dict(zip("123456", ("train", "test", "train", "test", "test", "val"), strict=True))
    assert leakage.measure(images, splits, [("t", "u"), ("w", "v")]) == leakage.Leakage(3, 1, 2)
    persons = [image("1", "s", "ann"), image("2", "t", "ann"), image("3", "u", "bob"), image("4", "v")]
    splits = dict(zip("1234", ("train", "test", "test", "test"), strict=True))
    assert leakage.measure(persons, splits, []) == leakage.Leakage(3, 0, 0, 1, unknown=1)


class TestReport:
    def test_it_is_one_page_without_the_network(self, workspace, raw):
        (raw / "a" / "broken.png").write_text("x")
        write(raw / "a" / "black.png", np.zeros((20, 20), np.uint8))
        prepare_dataset(workspace, raw)
        page = workspace.pool_report.read_text()
        assert not re.search(r"(src|href)=\"(?!data:)", page)
        assert "url(" not in page
        assert "@import" not in page
        assert "<script" not in page
        for text in (
            "Classes and splits",
            "Samples of each class",
            "Near copies",
            "Darkest",
            "Constant (1)",
            "a/broken.png",
        ):
            assert text in page
        assert "No leakage found" in page
        assert page.count("data:image/jpeg;base64,") > 50

    def test_names_from_strangers_are_text_not_markup(self, workspace, raw):
        write(raw / "a" / "x'\"&<b>.png", face(77))
        (raw / "a" / "<img src=x onerror=alert(1)>.png").write_text("x")
        prepare_dataset(workspace, raw)
        page = workspace.pool_report.read_text()
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;.png" in page

    def test_the_same_pool_gives_the_same_page(self, workspace, raw):
        prepare_dataset(workspace, raw)
        before = workspace.pool_report.read_bytes()
        workspace.pool_manifest.unlink()
        prepare_dataset(workspace, raw)
        assert workspace.pool_report.read_bytes() == before

    def test_measures_rank_dark_bright_and_blurred(self):
        thumbs = np.stack(
            [face(1), face(1) // 4, cv2.GaussianBlur(face(1), (9, 9), 4), np.full((48, 48), 200, np.uint8)]
        )
        brightness, contrast, sharpness = signature.signatures(thumbs)["measures"].T
        assert brightness.argmin() == 1
        assert brightness.argmax() == 3
        assert contrast[3] == 0
        assert sharpness[2] < sharpness[0] / 4
