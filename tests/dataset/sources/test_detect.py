"""What is found in a folder, and what each kind of source yields."""

from __future__ import annotations

import shutil

import pytest

from tuning.core.errors import DataError
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources import detect as sources
from tuning.dataset.sources import fer_csv, inventory, yolo, yolo_names
from tuning.dataset.sources.samples import Ignored, Rejected, Sample


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def listing(raw, crop="box"):
    tree = inventory.take(raw)
    kind, prefix = sources.find(tree)
    found = sources.SOURCES[kind].list_samples(tree, prefix, crop)
    return kind, prefix, found, list(found.items)


def labels(items):
    return {item.source: item.label for item in items if isinstance(item, Sample)}


def reasons(items, kind=Rejected):
    return {item.source: item.reason for item in items if isinstance(item, kind)}


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_source_says_no_to_an_empty_folder(name, tmp_path):
    assert sources.SOURCES[name].detect(inventory.take(tmp_path), "") is False


class TestInventory:
    def test_hidden_files_and_litter_are_not_seen(self, tmp_path):
        for name in ("a/x.png", "a/.hidden.png", ".git/x.png", "__MACOSX/a/._x.png", "a/Thumbs.db"):
            write(tmp_path / name)
        assert list(inventory.take(tmp_path).files) == ["a/x.png"]

    def test_links_that_leave_the_folder_are_refused_and_others_followed_once(self, tmp_path):
        outside = write(tmp_path / "outside" / "x.png", "secret")
        raw = tmp_path / "raw"
        write(raw / "a" / "x.png")
        (raw / "a" / "inside.png").symlink_to(raw / "a" / "x.png")
        (raw / "a" / "leaving.png").symlink_to(outside)
        (raw / "a" / "broken.png").symlink_to(raw / "nowhere")
        (raw / "b").symlink_to(outside.parent)
        (raw / "loop").symlink_to(raw)
        tree = inventory.take(raw)
        assert list(tree.files) == ["a/inside.png", "a/x.png"]
        assert [(entry.source, entry.reason.split(";")[0]) for entry in tree.refused] == [
            ("a/broken.png", "a broken link"),
            ("a/leaving.png", "a link that leads out of the raw folder"),
            ("b", "a link that leads out of the raw folder"),
            ("loop", "a link to a folder"),
        ]

    def test_a_missing_folder_names_the_remedy(self, tmp_path):
        with pytest.raises(DataError, match="does not exist") as caught:
            inventory.take(tmp_path / "nowhere")
        assert "python -m tuning.demo" in caught.value.remedy


class TestFind:
    def test_the_one_nested_folder_is_found(self, tmp_path):
        write(tmp_path / "archive" / "fer" / "happy" / "x.png")
        write(tmp_path / "archive" / "readme.txt")
        write(tmp_path / "__MACOSX" / "fer" / "happy" / "x.png")
        assert sources.find(inventory.take(tmp_path)) == ("class_folders", "archive/fer")

    def test_two_nested_data_sets_are_ambiguous(self, tmp_path):
        write(tmp_path / "one" / "happy" / "x.png")
        write(tmp_path / "two" / "happy" / "x.png")
        with pytest.raises(DataError, match="2 folders that could each be the data set: one, two"):
            sources.find(inventory.take(tmp_path))

    @pytest.mark.parametrize(
        ("files", "problem"),
        [
            ([], "no images: .* holds no files"),
            (["notes.txt", "a/b.doc"], "none of the 2 files"),
            (["x.png", "y.png"], "2 images, but none of them in a class folder"),
        ],
    )
    def test_nothing_recognised_says_what_is_expected(self, tmp_path, files, problem):
        for name in files:
            write(tmp_path / name)
        with pytest.raises(DataError, match=problem) as caught:
            sources.find(inventory.take(tmp_path))
        assert "data.yaml" in caught.value.remedy


def test_who_gives_the_folder_of_a_class_is_told_which_one_to_give(workspace, faces):
    raw = faces({"a": 5, "b": 5, "c": 5})
    for given in ([raw / "a", raw / "b", raw / "c"], raw / "b"):
        with pytest.raises(DataError, match="but none of them in a class folder") as caught:
            prepare_dataset(workspace, given)
        assert caught.value.remedy.startswith(f"give --raw {raw}, if ")
    assert prepare_dataset(workspace, raw).summary.images == 15


@pytest.mark.parametrize("name", ["data.yaml", "1.png"])
def test_who_gives_a_file_of_a_data_set_is_told_which_folder_to_give(workspace, save, tmp_path, name):
    write(tmp_path / "raw" / "data.yaml", "names: [a, b]")
    save(tmp_path / "raw" / "1.png", 0)
    with pytest.raises(DataError, match=f"{name} is one file of a data set") as caught:
        prepare_dataset(workspace, tmp_path / "raw" / name)
    assert caught.value.remedy.startswith(f"give --raw {tmp_path / 'raw'}, or")


def test_what_lies_beside_the_data_set_is_told(workspace, faces, save, tmp_path):
    faces({"a": 5, "b": 5}, tmp_path / "raw" / "faces")
    faces({"a": 3, "b": 3}, tmp_path / "raw" / "more" / "of" / "them")
    save(tmp_path / "raw" / "cover.png", 99)
    (tmp_path / "raw" / "notes.txt").touch()
    summary = prepare_dataset(workspace, tmp_path / "raw").summary
    outside = "lies outside the data set in faces/"
    assert (summary.images, summary.ignored) == (10, {outside: 1})
    assert [item.reason for item in summary.rejected] == [outside] * 7
    with pytest.raises(DataError, match=f"cover.png: {outside}"):
        prepare_dataset(workspace, tmp_path / "raw", on_bad="stop")


def test_no_folder_is_named_that_cannot_be_given(workspace, faces, tmp_path):
    faces({".": 5}, workspace.raw)
    shutil.make_archive(str(tmp_path / "faces"), "zip", workspace.raw)
    for given in (None, tmp_path / "faces.zip"):
        with pytest.raises(DataError, match="but none of them in a class folder") as caught:
            prepare_dataset(workspace, given)
        assert caught.value.remedy.startswith("put each class's images in a folder")


class TestClassFolders:
    def test_split_folders_become_one_pool(self, tmp_path):
        names = ["train/Happy/1.png", "valid/happy/2.png", "test/sad/3.png", "sad/4.jpg"]
        for name in names:
            write(tmp_path / name)
        kind, _, found, items = listing(tmp_path)
        assert kind == "class_folders"
        assert labels(items) == dict(zip(sorted(names), ["sad", "sad", "happy", "happy"], strict=True))
        assert set(found.classes) == {"happy", "sad"}
        assert found.total == 4

    def test_folders_that_become_one_label_are_merged_and_told(self, tmp_path):
        for name in ("Happy/1.png", "happy/2.png", " happy/3.png", "sad/4.png"):
            write(tmp_path / name)
        _, _, found, items = listing(tmp_path)
        assert sorted(labels(items).values()) == ["happy"] * 3 + ["sad"]
        assert found.notes == ("folders ' happy', 'Happy', 'happy' are one class: 'happy'",)

    def test_the_same_name_below_train_and_test_is_no_news(self, tmp_path):
        write(tmp_path / "train" / "happy" / "1.png")
        write(tmp_path / "test" / "happy" / "1.png")
        assert listing(tmp_path)[2].notes == ()

    def test_every_file_ends_somewhere(self, tmp_path):
        for name in ("happy/deep/er/1.JPeG", "happy/notes.txt", "stray.png", "train/stray.png", "train/sad/2.png"):
            write(tmp_path / name)
        _, _, _, items = listing(tmp_path)
        assert labels(items) == {"happy/deep/er/1.JPeG": "happy", "train/sad/2.png": "sad"}
        assert reasons(items) == dict.fromkeys(("stray.png", "train/stray.png"), "lies outside every class folder")
        assert {item.source for item in items} == set(inventory.take(tmp_path).files)


class TestYolo:
    @pytest.fixture
    def export(self, tmp_path):
        write(tmp_path / "data.yaml", "train: ../train/images\nnc: 2\nnames: ['Happy', 'Sad Face']\n")
        write(tmp_path / "train" / "images" / "1.jpg")
        write(tmp_path / "train" / "labels" / "1.txt", "0 0.5 0.5 0.4 0.4\n1 0.2 0.2 0.2 0.2\n")
        write(tmp_path / "test" / "images" / "2.jpg")
        write(tmp_path / "test" / "labels" / "2.txt", "")
        write(tmp_path / "images" / "val" / "3.jpg")
        write(tmp_path / "labels" / "val" / "3.txt", "1 0.5 0.5 1 1")
        write(tmp_path / "images" / "4.jpg")
        write(tmp_path / "labels" / "orphan.txt", "0 0.5 0.5 1 1")
        return tmp_path

    def test_every_face_is_a_sample(self, export):
        kind, _, found, items = listing(export)
        assert kind == "yolo"
        assert found.classes == {"happy": "data.yaml", "sad_face": "data.yaml"}
        assert [item for item in items if isinstance(item, Sample)] == [
            Sample("images/val/3.jpg", "sad_face", 1, (0.5, 0.5, 1.0, 1.0)),
            Sample("train/images/1.jpg", "happy", 1, (0.5, 0.5, 0.4, 0.4)),
            Sample("train/images/1.jpg", "sad_face", 2, (0.2, 0.2, 0.2, 0.2)),
        ]
        assert reasons(items, Ignored) == {
            "images/4.jpg": "background: no label file",
            "test/images/2.jpg": "background: empty label file",
            "labels/orphan.txt": "a label file without an image",
        }

    def test_a_cameras_raw_file_is_no_sample(self, export):
        write(export / "images" / "5.nef")
        write(export / "labels" / "5.txt", "0 0.5 0.5 1 1\n1 0.2 0.2 0.2 0.2\n")
        items = listing(export)[3]
        assert reasons(items) == {"images/5.nef": "a camera's raw file (NEF), which is not decoded"}
        assert {"images/5.nef", "labels/5.txt"}.isdisjoint({**labels(items), **reasons(items, Ignored)})

    def test_whole_images_on_request(self, export):
        items = listing(export, "image")[3]
        assert {item.box for item in items if isinstance(item, Sample)} == {None}

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("names: [a, b]", {0: "a", 1: "b"}),
            ("names:\n  0: A\n  1: B b", {0: "a", 1: "b_b"}),
            ("names: {'0': a, '1': b}", {0: "a", 1: "b"}),
            ("names: [1, 2]\nnc: 2", {0: "1", 1: "2"}),
        ],
    )
    def test_names_as_list_or_mapping(self, tmp_path, text, names):
        write(tmp_path / "data.yaml", text)
        assert yolo_names.read(inventory.take(tmp_path), "data.yaml").labels == names

    @pytest.mark.parametrize(
        ("image", "label"),
        [
            ("train/images/a.b.jpg", "train/labels/a.b.txt"),
            ("images/train/a.jpg", "labels/train/a.txt"),
            ("images/images/a.jpg", "images/labels/a.txt"),
            ("a.jpg", "a.txt"),
            ("obj/images.jpg", "obj/images.txt"),
        ],
    )
    def test_where_labels_lie(self, image, label):
        assert yolo.label_path(image) == label


class TestFerCsv:
    PIXELS = " ".join(["7"] * 63 + ["255"])

    def test_rows_become_samples_in_any_column_order(self, tmp_path):
        write(tmp_path / "icml.csv", f"emotion, Usage, pixels\n3,Training,{self.PIXELS}\n6,PrivateTest,{self.PIXELS}\n")
        write(tmp_path / "other.csv", "a,b\n1,2\n")
        kind, _, _, items = listing(tmp_path)
        assert kind == "fer_csv"
        assert [(item.name, item.label) for item in items if isinstance(item, Sample)] == [
            ("icml.csv#2", "happy"),
            ("icml.csv#3", "neutral"),
        ]
        assert list(reasons(items, Ignored)) == ["other.csv"]

    def test_the_csv_itself_can_be_given(self, tmp_path):
        path = write(tmp_path / "fer2013.csv", f"emotion,pixels,Usage\n0,{self.PIXELS},Training\n")
        write(tmp_path / "happy" / "x.png")
        assert labels(listing(path)[3]) == {"fer2013.csv": "angry"}

    def test_a_field_without_end_is_an_error_with_its_line(self, tmp_path, monkeypatch):
        monkeypatch.setattr(fer_csv, "_MAX_FIELD", 150_000)
        write(tmp_path / "f.csv", 'emotion,pixels,Usage\n0,"' + "1 " * 100_000)
        with pytest.raises(DataError, match=r"f\.csv:\d"):
            listing(tmp_path)

    def test_pixels_become_gray_rgb(self):
        pixels = fer_csv.parse_pixels(self.PIXELS)
        assert pixels.shape == (8, 8, 3)
        assert pixels[0, 0].tolist() == [7, 7, 7]
        assert pixels[7, 7].tolist() == [255, 255, 255]
