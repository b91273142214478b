"""Labels of kinds that are not read are named, and no folder of them becomes a class."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [("annotations", ".xml"), ("Annotations", ".xml"), ("labels_json", ".json"), ("annotations", ".npy")],
)
def test_labels_of_other_kinds_beside_images_are_named(folder, suffix, save, tmp_path, outcome_of):
    raw = tmp_path / "raw"
    for number in range(6):
        save(raw / "images" / f"{number}.png", number)
        (raw / folder).mkdir(exist_ok=True)
        (raw / folder / f"{number}{suffix}").write_text("<annotation/>")
    outcome = outcome_of(raw)
    assert outcome.code == 3
    assert f"{folder} holds labels such as 0{suffix}" in outcome.error
    assert "YOLO" in outcome.remedy


@pytest.mark.parametrize("name", ["train/_annotations.coco.json", "train/0.xml"])
def test_labels_of_other_kinds_among_images_are_named(name, save, tmp_path, outcome_of):
    """As Roboflow exports COCO and Pascal VOC."""
    raw = tmp_path / "raw"
    for number in range(12):
        save(raw / ("train", "valid")[number % 2] / f"{number}.png", number)
    (raw / name).write_text("{}")
    outcome = outcome_of(raw)
    assert outcome.code == 3
    assert f"train holds labels such as {name.removeprefix('train/')}" in outcome.error
    assert "export them as YOLO" in outcome.remedy
