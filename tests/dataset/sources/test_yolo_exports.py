"""YOLO exports as their tools write them: where images, labels and names lie, and how the classes are numbered."""

from __future__ import annotations

import json

import pytest

from tuning.dataset.preparation import prepare_dataset

BOX = "0.5 0.5 0.8 0.8"
YAML = "names: [happy, sad]\n"


@pytest.fixture
def export(tmp_path, save):
    """`export(images, labels)` draws eight labelled photos and writes their labels as `index(n)` says."""

    def make(images, labels, index=lambda n: n % 2, suffix=".txt", image_suffix=".png", form="{} " + BOX, start=0):
        raw = tmp_path / "raw"
        for number in range(start, start + 8):
            save(raw / images / f"{number}{image_suffix}", number, 40, 40)
            label = raw / labels / f"{number}{suffix}"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(form.format(index(number)))
        return raw

    return make


#: name -> (folders of images and labels, files beside them, outcome).
PLACES = {
    "train/images and train/labels": ([("train/images", "train/labels")], {"data.yaml": YAML}, "8: "),
    "images/train and labels/train": ([("images/train", "labels/train")], {"data.yaml": YAML}, "8: "),
    "images and labels": ([("images", "labels")], {"data.yaml": YAML}, "8: "),
    "two splits": ([("train/images", "train/labels"), ("val/images", "val/labels")], {"data.yaml": YAML}, "16: "),
    "capitals": ([("Train/Images", "Train/Labels")], {"Data.YAML": YAML}, "8: "),
    "a YAML file of another name": ([("train/images", "train/labels")], {"my_faces.yml": YAML}, "8: "),
    "a YAML file that says other things, too": (
        [("train/images", "train/labels")],
        {"face.yaml": YAML, "hyp.yaml": "lr0: 0.01\nmomentum: 0.9\n"},
        "8: ",
    ),
    "two YAML files that agree": ([("images", "labels")], {"a.yaml": YAML, "b.yaml": YAML + "nc: 2\n"}, "8: "),
    "two YAML files that differ": (
        [("images", "labels")],
        {"a.yaml": YAML, "b.yaml": "names: [sad, happy]\n"},
        "refused: a.yaml and b.yaml name different classes",
    ),
    "data.yaml and another one that differs": (
        [("images", "labels")],
        {"data.yaml": YAML, "old.yaml": "names: [sad, happy]\n"},
        "8: ",
    ),
    "names in the folder of a split": (
        [("train/images", "train/labels")],
        {"train/data.yaml": YAML},
        "8: ",
    ),
    "names in the folder of each split": (
        [("train/images", "train/labels"), ("valid/images", "valid/labels")],
        {"train/data.yaml": YAML, "valid/data.yaml": YAML},
        "16: ",
    ),
    "other names in each split": (
        [("train/images", "train/labels"), ("valid/images", "valid/labels")],
        {"train/data.yaml": YAML, "valid/data.yaml": "names: [sad, happy]\n"},
        "refused: .*name different classes",
    ),
    "keys in capitals": ([("images", "labels")], {"data.yaml": "NC: 2\nNames: [happy, sad]\n"}, "8: "),
    "nc as text": ([("images", "labels")], {"data.yaml": "nc: '2'\nnames: [happy, sad]\n"}, "8: "),
    "classes.txt": ([("images", "labels")], {"classes.txt": "happy\nsad\n"}, "8: "),
    "classes.txt among the labels": ([("images", "labels")], {"labels/classes.txt": "happy\nsad\n"}, "8: "),
    "classes.txt with a mark and CRLF": ([("images", "labels")], {"classes.txt": "\ufeffhappy\r\nsad\r\n\r\n"}, "8: "),
    "classes.txt with a gap": ([("images", "labels")], {"classes.txt": "happy\n\nsad\n"}, "refused: classes.txt:2: no"),
    "obj.names": (
        [("obj_train_data", "obj_train_data")],
        {"obj.names": "happy\nsad\n", "obj.data": "x"},
        "8: ",
    ),
    "names under any name": ([("data", "data")], {"faces.names": "happy\nsad\n"}, "8: "),
    "_darknet.labels": ([("train", "train")], {"train/_darknet.labels": "happy\nsad\n"}, "8: "),
    "labels in a folder of another name": ([("train/jpg", "train/txt")], {"data.yaml": YAML}, "8: "),
    "labels beside the images": ([("all", "all")], {"data.yaml": YAML}, "8: "),
    "names one folder higher": ([("set/train/images", "set/train/labels")], {"data.yaml": YAML}, "8: "),
    "all in a folder": ([("x/train/images", "x/train/labels")], {"x/data.yaml": YAML}, "8: "),
    "no names": ([("train/images", "train/labels")], {}, r"refused: no data\.yaml or classes\.txt .* classes 0, 1"),
    "no names, folders of other names": ([("JPEGImages", "labels")], {}, r"refused: no data\.yaml or classes\.txt"),
    "no names, all in one folder": ([("data", "data")], {}, r"refused: no data\.yaml or classes\.txt"),
    "names of nothing": ([("images", "labels")], {"classes.txt": "\n"}, "refused: no class names"),
    "two exports": (
        [("a/images", "a/labels"), ("b/images", "b/labels")],
        {"a/data.yaml": YAML, "b/data.yaml": YAML},
        "refused: 2 folders that could each be the data set",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_images_labels_and_names_are_found(name, export, expect):
    places, beside, expected = PLACES[name]
    for number, (images, labels) in enumerate(places):
        raw = export(images, labels, start=100 * number)
    for path, text in beside.items():
        (raw / path).write_bytes(text.encode())
    expect(expected, raw)


@pytest.mark.parametrize(
    ("suffix", "image_suffix"), [(".TXT", ".png"), (".Txt", ".JPG"), (".png.txt", ".png"), (".txt", ".webp")]
)
def test_label_files_are_found_whatever_their_case(suffix, image_suffix, export, expect):
    raw = export("train/images", "train/labels", suffix=suffix, image_suffix=image_suffix)
    (raw / "data.yaml").write_text(YAML)
    expect("8: ", raw)


#: name -> (names, class index of the n-th label, outcome).
NUMBERS = {
    "from 0": ("names: [happy, sad]", lambda n: n % 2, "8: "),
    "from 1": ("names: [happy, sad]", lambda n: n % 2 + 1, "refused: numbered from 1: class 2 occurs 4 times"),
    "from 1, as the names say": ("names: {1: happy, 2: sad}", lambda n: n % 2 + 1, "8: "),
    "from 1, once the last": ("names: [a, b, c]", lambda n: (1, 1, 2, 2, 2, 1, 1, 3)[n], "refused: numbered from 1"),
    "from 1, never the last": ("names: [a, b, c]", lambda n: n % 2 + 1, r"8: No label has the class 0 \(a\)"),
    "a class without a name": ("names: [a, b]", lambda n: n % 3, "refused: class 2 .* not one of the 2"),
    "a slip": ("names: [a, b]", lambda n: 7 if n == 0 else n % 2, "7: class 7 is not one of the 2"),
    "as decimals": ("names: [a, b]", lambda n: f"{n % 2}.0", "8: "),
    "as decimals from 1": ("names: [a, b]", lambda n: f"{n % 2 + 1}.000", "refused: numbered from 1"),
    "a class of wrong boxes": (
        "names: [a, b, c]",
        lambda n: "2 9 9 9 9 #" if n in (0, 1) else n % 2,
        "refused: class 'c' has no usable image .* 2 × not all of",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_fit_the_names_or_are_refused(name, export, expect):
    names, index, expected = NUMBERS[name]
    raw = export("train/images", "train/labels", index)
    (raw / "data.yaml").write_text(names)
    expect(expected, raw)


#: name -> (label lines, kpt_shape, outcome).
POSES = {
    "as the export says": ("{} " + BOX + " 0.1 0.1 2 0.9 0.9 2", "[2, 3]", "8: 8 labels have keypoints"),
    "two values each": ("{} " + BOX + " 0.1 0.1 0.9 0.9", "[2, 2]", "8: 8 labels have keypoints"),
    "boxes alone": ("{} " + BOX, "[2, 3]", "8: "),
    "with a confidence": ("{} " + BOX + " 0.1 0.1 2 0.9 0.9 2 0.8", "[2, 3]", "8: 8 labels have keypoints"),
    "another number": (
        "{} " + BOX + " 0.1 0.1",
        "[2, 3]",
        "refused: no usable images: 8 × 7 columns",
    ),
    "landmarks, unannounced": ("{} " + BOX + " 0.4 0.4 2" * 17, None, "8: 8 labels have keypoints"),
    "landmarks, some unseen": ("{} " + BOX + " 0.4 0.4 2" * 16 + " 0 0 0", None, "8: 8 labels have keypoints"),
    "polygons": ("{} 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", None, "8: 8 labels are polygons"),
    "pixels": ("{} 20 20 30 30", None, r"refused: no usable images: 8 × the box \(centre 20 20"),
}


@pytest.mark.parametrize("name", POSES)
def test_forms_of_labels(name, export, expect):
    form, shape, expected = POSES[name]
    raw = export("train/images", "train/labels", form=form)
    (raw / "data.yaml").write_text(YAML + (f"kpt_shape: {shape}\n" if shape else ""))
    expect(expected, raw)


@pytest.mark.parametrize(
    ("reading", "box"),
    [
        ("left, top, right, bottom", lambda x, y, w, h: (x, y, x + w, y + h)),
        ("left, top, width, height", lambda x, y, w, h: (x, y, w, h)),
        (None, lambda x, y, w, h: (x + w / 2, y + h / 2, w, h)),
    ],
)
@pytest.mark.parametrize("more", ["", " 0.9"])
def test_boxes_of_another_convention_are_refused_instead_of_cut_out_wrong(reading, box, more, export, expect):
    places = [(n % 3 * 0.3, n % 4 * 0.2, 0.4, 0.3 + n % 2 / 10) for n in range(8)]
    raw = export("images", "labels", lambda n: f"{n % 2} {' '.join(map(str, box(*places[n])))}", form="{}" + more)
    (raw / "data.yaml").write_text(YAML)
    expect(
        f"refused: of the 8 boxes in .* out of the image as centre .*, and none as {reading}" if reading else "8: ", raw
    )


def test_a_few_boxes_that_reach_out_are_left_out(export, expect):
    raw = export("images", "labels", lambda n: f"{n % 2} 0.1 0.1 0.5 0.5" if n < 2 else f"{n % 2} {BOX}", form="{}")
    (raw / "data.yaml").write_text(YAML)
    expect("6: reaches out of the image", raw)


def test_a_polygon_is_its_bounding_box(export, outcome_of, workspace):
    import json

    raw = export("train/images", "train/labels", form="{} 0.25 0.5 0.5 0.25 0.75 0.5 0.5 1.0")
    (raw / "data.yaml").write_text(YAML)
    assert outcome_of(raw).code == 0
    images = json.loads(workspace.pool_manifest.read_text())["images"]
    assert {(image["width"], image["height"]) for image in images} == {(20, 30)}


def test_a_folder_of_classes_with_a_data_yaml_and_texts_is_one_of_classes(faces, expect):
    raw = faces({"happy": 4, "sad": 4})
    (raw / "data.yaml").write_text("names: [happy, sad]\n")
    for image in raw.rglob("*.png"):
        image.with_suffix(".txt").write_text("a smiling person of about 30")
    expect("8: not an image file", raw)


def test_images_without_any_label_are_told_where_labels_go(export, outcome_of):
    import shutil

    raw = export("train/images", "train/labels")
    shutil.rmtree(raw / "train" / "labels")
    (raw / "data.yaml").write_text(YAML)
    outcome = outcome_of(raw)
    assert outcome.code == 3
    assert "no usable images: 8 × background: no label file" in outcome.error
    assert "labels/" in outcome.remedy


def test_versions_of_one_photo_share_a_split(tmp_path, save, workspace):
    for number in range(60):
        name = f"IMG-{number % 20}_jpg.rf.{number:032x}"
        save(tmp_path / f"raw/train/images/{name}.png", number, 40, 40)
        label = tmp_path / f"raw/train/labels/{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{number % 2} {BOX}")
    (tmp_path / "raw" / "data.yaml").write_text(YAML)
    summary = prepare_dataset(workspace, tmp_path / "raw").summary
    homes = {}
    for entry in json.loads(workspace.split_manifest.read_text())["images"]:
        homes.setdefault(entry["source"].partition(".rf.")[0], set()).add(entry["split"])
    assert len(homes) == 20
    assert all(len(splits) == 1 for splits in homes.values())
    assert any("60 files are versions of 20 images" in note for note in summary.notes)


def test_names_in_another_encoding_are_refused_with_the_way_out(export, outcome_of):
    raw = export("images", "labels")
    (raw / "data.yaml").write_bytes("names: [dégoût, joie]".encode("cp1252"))
    outcome = outcome_of(raw)
    assert (outcome.code, outcome.remedy.strip()) == (3, "→ save it as UTF-8")


def test_a_read_me_is_no_label_file(export, outcome_of):
    raw = export("train/images", "train/labels")
    (raw / "data.yaml").write_text(YAML)
    (raw / "README.dataset.txt").write_text("# faces > 2024\nhttps://universe.roboflow.com/faces\n")
    (raw / "train" / "labels" / "gone.txt").write_text(f"0 {BOX}")
    (raw / "train" / "labels" / "empty.txt").write_text("")
    ignored = outcome_of(raw).result["summary"]["ignored"]
    assert ignored == {"a label file without an image": 2, "not an image file": 1}
