"""What training sees of a data set, and what it does not."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import tuning
from tuning.core import files
from tuning.core.errors import DataError
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.store import arrays, description, packing
from tuning.dataset.store.arrays import open_dataset, read_info
from tuning.dataset.store.sealed import TestOpening, open_test

OPENING = TestOpening("run-1", "train")


@pytest.fixture
def prepared(workspace, faces):
    prepare_dataset(workspace, faces({"happy": 20, "sad": 10}), image_size=12)
    return workspace


def test_arrays_are_read_only_maps_of_the_described_shape(prepared):
    dataset = open_dataset(prepared)
    assert dataset.info.classes == ("happy", "sad")
    assert dataset.info.counts == {"train": 21, "val": 5, "test": 4}
    assert dataset.info.input_shape == (12, 12, 1)
    assert dataset.info.color == "gray"
    for split, count in ((dataset.train, 21), (dataset.val, 5), (open_test(prepared, OPENING), 4)):
        assert isinstance(split.images, np.memmap)
        assert (split.images.shape, split.images.dtype) == ((count, 12, 12, 1), np.uint8)
        assert (split.labels.shape, split.labels.dtype, len(split)) == ((count,), np.int64, count)
        assert set(split.labels.tolist()) == {0, 1}
        with pytest.raises(ValueError, match="read-only"):
            split.images[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            split.labels[0] = 0


def test_pixels_and_labels_are_those_of_the_materialised_files(prepared):
    from tuning.dataset.decode import decode

    dataset = open_dataset(prepared)
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", open_test(prepared, OPENING))):
        packed = sorted((int(label), image.tobytes()) for image, label in zip(split.images, split.labels, strict=True))
        found = sorted(
            (dataset.info.classes.index(path.parent.name), decode(path, 12, "gray").tobytes())
            for path in (prepared.split / name).glob("*/*")
        )
        assert packed == found


@pytest.mark.parametrize("opened", [open_dataset, read_info, lambda workspace: open_test(workspace, OPENING)])
def test_an_empty_workspace_names_both_remedies(workspace, opened):
    with pytest.raises(DataError, match="no prepared data set") as caught:
        opened(workspace)
    assert "python -m tuning.prepare --raw PATH" in caught.value.remedy
    assert "python -m tuning.demo" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda v: v.update(schema=2), "schema 2"),
        (lambda v: v.update(classes="ab"), r"at `\$\.classes`"),
        (lambda v: v.update(classes=["a"]), r"at `\$\.classes`"),
        (lambda v: v.update(counts={"train": 1}), r"at `\$\.counts`"),
        (lambda v: v.update(image_size=True), r"at `\$\.image_size`"),
        (lambda v: v.update(color="cmyk"), r"at `\$\.color`"),
        (lambda v: v.update(digest=None), r"at `\$\.digest`"),
        (lambda v: v.update(sha256=[]), r"at `\$\.sha256`"),
        (lambda v: v.update(split_digest="other"), "made from another split"),
        (lambda v: v["counts"].update(train=22), "holds uint8"),
        (lambda v: v.update(image_size=13), "holds uint8"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(prepared, change, problem):
    path = prepared.split / packing.DESCRIPTION
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=problem) as caught:
        open_dataset(prepared)
    assert "python -m tuning.prepare" in caught.value.remedy


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"text" * 100])
@pytest.mark.parametrize("name", ["train.images.npy", "val.labels.npy"])
def test_a_damaged_array_is_named(prepared, name, damage):
    (prepared.split / name).write_bytes(damage)
    with pytest.raises(DataError, match=f"{name} is damaged"):
        open_dataset(prepared)


def test_a_pickled_array_is_not_loaded(prepared):
    np.save(prepared.split / "train.labels.npy", np.array([{}] * 21, object), allow_pickle=True)
    with pytest.raises(DataError, match=r"train\.labels\.npy is damaged"):
        open_dataset(prepared)


def test_a_label_out_of_range_is_named(prepared):
    np.save(prepared.split / "train.labels.npy", np.full(21, 2, np.int64))
    with pytest.raises(DataError, match="outside 0…1"):
        open_dataset(prepared)


def test_a_missing_array_is_named(prepared):
    (prepared.split / "train.images.npy").unlink()
    with pytest.raises(DataError, match=r"train\.images\.npy does not exist"):
        open_dataset(prepared)


def test_the_recorded_hashes_are_those_of_the_files(prepared):
    hashes = description.read_description(prepared.split).sha256
    assert set(hashes) == {path.name for path in prepared.split.glob("*.npy")}
    assert all(files.sha256_file(prepared.split / name) == sha for name, sha in hashes.items())


CONTENT = {"train": [("b", "sad"), ("a", "happy")], "val": [("c", "sad")], "test": [("d", "sad")]}


class TestDigest:
    def digest(self, classes=("happy", "sad"), size=48, color="gray", decoder=1, content=CONTENT):
        return description.dataset_digest(classes, size, color, decoder, content)

    def test_the_order_of_images_does_not_matter(self):
        assert self.digest(content={**CONTENT, "train": CONTENT["train"][::-1]}) == self.digest()

    @pytest.mark.parametrize(
        "changes",
        [
            {"size": 49},
            {"color": "rgb"},
            {"decoder": 2},
            {"classes": ("happy", "sad", "fear")},
            {"content": {**CONTENT, "val": [("c", "happy")]}},
            {"content": {**CONTENT, "val": CONTENT["test"], "test": CONTENT["val"]}},
        ],
    )
    def test_anything_else_does(self, changes):
        assert self.digest(**changes) != self.digest()


class TestSealed:
    @pytest.mark.parametrize("opening", [None, "train", {"run_id": "r", "purpose": "train"}, object()])
    def test_only_an_opening_opens_it(self, prepared, opening):
        with pytest.raises(TypeError, match="TestOpening"):
            open_test(prepared, opening)

    @pytest.mark.parametrize(("run_id", "purpose"), [("", "train"), (None, "train"), ("r", "search"), ("r", None)])
    def test_an_opening_says_who_and_what_for(self, run_id, purpose):
        with pytest.raises(ValueError, match="must be"):
            TestOpening(run_id, purpose)

    def test_arrays_do_not_offer_it(self, prepared):
        with pytest.raises(ValueError, match="cannot be opened here"):
            arrays.open_split(prepared, read_info(prepared), "test")
        assert not hasattr(open_dataset(prepared), "test")

    def test_nothing_else_in_the_package_reads_packed_splits(self):
        package = Path(tuning.__file__).parent
        readers = {
            path.relative_to(package).as_posix()
            for path in package.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if (isinstance(node, ast.Attribute) and node.attr in ("read_split", "images_path", "labels_path"))
            or (isinstance(node, ast.alias) and node.name in ("read_split", "images_path", "labels_path"))
            or (isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("test.images"))
        }
        assert readers == {"dataset/store/arrays.py", "dataset/store/sealed.py"}
