from __future__ import annotations

import json

import pytest

from tuning.core.errors import DataError
from tuning.dataset.settings import Settings
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting import previous_split as history
from tuning.dataset.store.manifests import Place, SplitManifest, read_split_manifest, write_split_manifest

PLACES = tuple(
    Place(f"{label}/{n}.png", f"raw/{label}/{n}.png", f"{label}{n}" * 16, label, f"{label}{n}", split)
    for label in ("happy", "sad")
    for n, split in enumerate(("train", "train", "val", "test"))
)
MANIFEST = SplitManifest((70.0, 15.0, 15.0), 0, "box", PLACES, {"gone": "val"})


@pytest.fixture
def path(tmp_path):
    write_split_manifest(tmp_path / "split_manifest.json", MANIFEST)
    return tmp_path / "split_manifest.json"


def test_a_manifest_comes_back_unchanged_with_one_line_an_image(path):
    assert read_split_manifest(path) == MANIFEST
    value = json.loads(path.read_text())
    assert value["digest"] == MANIFEST.digest
    assert value["counts"] == {label: {"train": 2, "val": 1, "test": 1} for label in ("happy", "sad")}
    assert sum('"file"' in line for line in path.read_text().splitlines()) == len(PLACES)


def test_no_manifest_is_none(tmp_path):
    assert read_split_manifest(tmp_path / "split_manifest.json") is None


def test_the_digest_follows_pixels_labels_and_splits_but_no_names():
    renamed = [
        Place(f"{p.label}/other-{p.file[-5:]}", "elsewhere", p.sha256, p.label, p.group, p.split) for p in PLACES
    ]
    assert SplitManifest((70.0, 15.0, 15.0), 0, "box", tuple(renamed[::-1]), {}).digest == MANIFEST.digest
    assert SplitManifest((70.0, 15.0, 15.0), 1, "box", PLACES, {}).digest != MANIFEST.digest
    assert SplitManifest((70.0, 15.0, 15.0), 0, "box", PLACES[1:], {}).digest != MANIFEST.digest


def test_a_split_comes_in_the_order_of_its_pixels_then_labels_whatever_files_are_called():
    rows = [("a/1", "2", "train"), ("a/2", "1", "train"), ("a/3", "0", "test"), ("b/0", "1", "train")]
    places = tuple(Place(file, file, sha256, file[0], sha256, split) for file, sha256, split in rows[::-1])
    manifest = SplitManifest((70.0, 15.0, 15.0), 0, "box", places, {})
    assert [place.file for place in manifest.of("train")] == ["a/2", "b/0", "a/1"]
    assert [place.file for place in manifest.of("test")] == ["a/3"] and manifest.of("val") == []


def edited(value, change):
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda v: v.update(schema=99), "schema 99"),
        (lambda v: v.pop("images"), "missing required field `images`"),
        (lambda v: v.update(images={}), r"Expected `array`, got `object` - at `\$\.images`"),
        (lambda v: v.update(seed="0"), r"Expected `int`, got `str` - at `\$\.seed`"),
        (lambda v: v.update(ratios=[70, 30]), r"Expected `array` of length 3 - at `\$\.ratios`"),
        (lambda v: v.update(crop="face"), r"Invalid enum value 'face' - at `\$\.crop`"),
        (lambda v: v["images"][0].update(split="train2"), "Invalid enum value 'train2'"),
        (lambda v: v["images"][0].pop("sha256"), "missing required field `sha256`"),
        (lambda v: v["images"][0].update(file="../../etc/passwd"), "is not <label>/<file>"),
        (lambda v: v["images"][0].update(file="happy/../x.png"), "is not <label>/<file>"),
        (lambda v: v["images"][0].update(file="/happy/x.png"), "is not <label>/<file>"),
        (lambda v: v["images"][0].update(file="happy/a\\b.png"), "is not <label>/<file>"),
        (lambda v: v["images"].append(v["images"][0]), "is listed twice"),
        (lambda v: v["images"][0].update(sha256=v["images"][3]["sha256"]), "image .* is in train and in test"),
        (lambda v: v["images"][0].update(group=v["images"][2]["group"]), "group .* is in train and in val"),
        (lambda v: v["images"][0].update(split="val"), "does not match its digest"),
        (lambda v: v["images"].pop(), "does not match its digest"),
        (lambda v: v["retired"].update(x="nowhere"), "Invalid enum value 'nowhere'"),
    ],
)
def test_an_edited_manifest_is_refused_with_the_reason(path, change, problem):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=problem) as caught:
        read_split_manifest(path)
    assert str(path) in caught.value.problem
    assert "restore" in caught.value.remedy


def pooled(place, **changes):
    fields = {"file": place.file, "source": place.source, "sha256": place.sha256, "label": place.label, **changes}
    return PooledImage(width=8, height=8, group=place.group, **fields)


def test_images_are_known_by_their_pixels():
    images = [pooled(place, file=f"{place.label}/new-{n}.png", source=f"new/{n}") for n, place in enumerate(PLACES)]
    placed, missing = history.recall(MANIFEST, images, "box")
    assert placed == {image.file: place.split for image, place in zip(images, PLACES, strict=True)}
    assert missing == []


def test_with_another_crop_images_are_known_by_their_source():
    images = [pooled(place, sha256="f" * 64) for place in PLACES]
    placed, missing = history.recall(MANIFEST, images, "image")
    assert placed == {place.file: place.split for place in PLACES}
    assert missing == []


def test_what_comes_back_gets_its_old_place():
    back = PooledImage("sad/back.png", "back", "gone", 8, 8, "sad")
    assert history.recall(MANIFEST, [back], "box")[0] == {"sad/back.png": "val"}


def test_the_copy_that_went_is_the_one_that_is_missing():
    twin = Place("happy/a-twin.png", "raw/happy/a-twin.png", PLACES[0].sha256, "happy", PLACES[0].group, "train")
    manifest = SplitManifest((70.0, 15.0, 15.0), 0, "box", (*PLACES, twin), {})
    images = [pooled(place) for place in PLACES]
    assert history.recall(manifest, images, "box")[1] == [twin]


def test_missing_images_are_refused_by_name():
    with pytest.raises(
        DataError, match=r"4 of 8 .* raw/happy/0\.png \(removed\), .* \(truncated\), .* and 1 more"
    ) as caught:
        history.refuse_missing(PLACES[:4], 8, {PLACES[1].source: "truncated"})
    assert "--accept-removed" in caught.value.remedy
    history.refuse_missing([], 8, {})


def test_other_ratios_or_another_seed_are_refused_with_the_difference():
    history.check_settings(MANIFEST, Settings(), "m.json")
    with pytest.raises(DataError, match="--split 70/15/15, now 80/10/10 and --seed 0, now 3") as caught:
        history.check_settings(MANIFEST, Settings(ratios=(80.0, 10.0, 10.0), seed=3), "m.json")
    assert "--split 70/15/15 --seed 0" in caught.value.remedy
