"""Folders as people lay them out: each is read as meant, or refused by name; none becomes a class that is none."""

from __future__ import annotations

import shlex

import pytest

from tuning.core.errors import DataError
from tuning.dataset.sources import detect as sources
from tuning.dataset.sources import inventory, layout
from tuning.dataset.sources.samples import Sample
from tuning.dataset.splitting import groups

LABELS = ("angry", "happy", "sad")


def files(*tops, labels=LABELS, below="", count=2):
    """`count` images in each class folder of each of `tops`."""
    return [f"{top}/{label}/{below}{n}.png".lstrip("/") for top in tops for label in labels for n in range(count)]


def persons(*tops, labels=LABELS, names=("S001", "S002")):
    return [f"{top}/{label}/{one}/1.png".lstrip("/") for top in tops for label in labels for one in names]


#: name -> (files, the classes, or None and a pattern of the refusal).
LAYOUTS = {
    "classes": (files(""), LABELS),
    "train and test": (files("train", "test"), LABELS),
    "FER2013's own names": (files("Training", "PublicTest", "PrivateTest"), LABELS),
    "train and eval": (files("train", "eval"), LABELS),
    "a slip of the pen": (files("train", "vaild"), LABELS),
    "test_data": (files("train", "test_data"), LABELS),
    "dev": (files("train", "dev"), LABELS),
    "a split under any name": (files("train", "zzz"), LABELS),
    "a split that lacks a class": (files("train") + files("extra", labels=LABELS[:2]), LABELS),
    "a split with a class more": (files("train") + files("hold out", labels=(*LABELS, "fear")), (*LABELS, "fear")),
    "train_data and test_data": (files("train_data", "test_data"), LABELS),
    "numbered folds": (files("fold1", "fold2", "fold3"), LABELS),
    "camel case": (files("TrainSet", "ValSet"), LABELS),
    "other words for classes": (files("train", "vaild", labels=("cat", "dog")), ("cat", "dog")),
    "numbers for classes": (files("train", "public", labels=("0", "1", "2")), ("0", "1", "2")),
    "splits one folder deeper": (files("fer/train", "fer/vaild"), LABELS),
    "a folder between split and class": (files("train/images", "test/images"), LABELS),
    "a copy of all beside the classes": (files("", "backup"), LABELS),
    "a set within itself": (files("images/train", "images/val", "images/images/train", "images/images/val"), LABELS),
    "classes with persons": (persons(""), LABELS),
    "classes with persons, in any words": (persons("", labels=("cat", "dog")), ("cat", "dog")),
    "classes with persons, one image beside": ([*persons(""), "happy/1.png"], LABELS),
    "classes with names of persons": (persons("", names=("anna", "bert")), LABELS),
    "classes with sessions of persons": (files("", below="S001/day1/"), LABELS),
    "splits, classes, persons": (persons("train", "test"), LABELS),
    "splits, persons, classes": (files("train/S001", "train/S002", "test/S003"), LABELS),
    "persons with classes": (files("S001", "S002", "S003"), LABELS),
    "classes with splits": (files("", below="train/") + files("", below="test/"), LABELS),
    "classes with splits of other names": (files("", below="train_set/") + files("", below="dev/"), LABELS),
    "classes with splits and persons": (files("", below="train/S001/"), LABELS),
    "a class more beside train": ([*files("train"), "fear/1.png"], (*LABELS, "fear")),
    "one class in a split": (["train/a/1.png", "b/1.png"], ("a", "b")),
    "a test split without classes": ([*files("train"), "test/1.png"], LABELS),
    "classes, and a test split without": ([*files(""), "test/1.png"], LABELS),
    "a class in a class": (files("", below="angry/", labels=("happy",)) + files(""), "happy/angry is called like"),
    "an emotion in another's class": (
        files("") + files("", labels=("sad/session/fear",)),
        "sad/session/fear is called",
    ),
    "a class in a class of each split": (
        files("train", "test") + files("train/sad", "test/sad", labels=("happy",)),
        "test/sad/happy is called like",
    ),
    "first frames in every class": (files("") + files("", below="neutral/"), LABELS),
    "a class in itself, under both names": (files("", below="happy/joy/", labels=("happy",)) + files(""), LABELS),
    "persons numbered like classes": (
        [*files("", labels=("0", "1", "2", "3")), "0/1/1.png", "3/2/1.png"],
        ("0", "1", "2", "3"),
    ),
    "one class with persons": (["happy/S001/1.png", "happy/S002/1.png"], ("happy",)),
    "a split with images of no class": (
        [*files("train", "valid"), "test/unknown/1.png"],
        "test/unknown is the only folder in test/ and none of the classes of the other splits",
    ),
    "a split with one emotion more": ([*files("train"), "test/fear/1.png"], (*LABELS, "fear")),
    "a picture beside classes": (["x/logo.png", *files("x", labels=("cat", "dog"))], ("cat", "dog")),
    "one class with images and folders": (
        [*(f"cat/{n}.png" for n in range(3)), "cat/a/1.png", "cat/b/1.png"],
        ("cat",),
    ),
    "a picture beside splits": (["fer/logo.png", *files("fer/train")], LABELS),
    "below all folders of a machine": (files("a/b/c/d/e/f/g/train"), LABELS),
    "images of no class beside splits": ([*files("train", "test"), "unlabeled/1.png"], "unlabeled stands beside test/"),
    "folders of none beside splits": (
        [*files("train"), "more/x/1.png", "more/y/1.png"],
        "more stands beside",
    ),
    "two sets": (files("one", "two"), "2 folders that could each be the data set"),
    "two sets in any words": (files("one", "two", labels=("c", "d")), "2 folders that could each be"),
    "persons or classes": (files("anna", "bert", labels=("x", "y")), "2 folders that could each be"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_or_refused(name, tmp_path):
    paths, expected = LAYOUTS[name]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    tree = inventory.take(tmp_path)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected) as caught:
            kind, prefix = sources.find(tree)
            sources.SOURCES[kind].list_samples(tree, prefix, "box")
        assert caught.value.remedy
        return
    kind, prefix = sources.find(tree)
    assert kind == "class_folders"
    listing = sources.SOURCES[kind].list_samples(tree, prefix, "box")
    assert set(listing.classes) == set(expected)
    samples = [item for item in listing.items if isinstance(item, Sample)]
    for sample in samples:
        # In each of these, the class's folder is the one that is called like it.
        assert sample.label in sample.source.split("/")
    assert len(samples) == sum(any(label in path.split("/") for label in expected) for path in paths)


@pytest.mark.parametrize(
    ("names", "persons"),
    [
        (("AF01", "AF02", "BM07"), True),
        (("S005", "S010", "S011", "happy"), True),
        (("batch1", "batch2"), True),
        (("happy", "S010"), False),
        (("happy1", "sad1"), False),
        (("happy", "sad", "S010"), False),
        (("0", "1", "2"), False),
        (("class_0", "class_1", "class_2"), False),
        (("happy1", "sad1", "angry1"), False),
    ],
)
def test_classes_that_are_called_like_persons_are_told(names, persons, tmp_path):
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    notes = layout.recognise(inventory.take(tmp_path), "").notes
    assert [note for note in notes if "are called like persons" in note] == list(notes)
    assert bool(notes) == persons


def test_what_was_recognised_is_said(tmp_path):
    for path in (*files("train", "vaild"), *persons("S", labels=())):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    found = layout.recognise(inventory.take(tmp_path), "")
    assert found.notes == ("vaild/ is read as another part: it holds folders of the same classes.",)


def test_a_class_that_one_split_alone_has_is_told(tmp_path):
    for path in (*files("train", "test", labels=("a", "b")), "train/rare/1.png", "test/typo/1.png", "test/empty/1.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    [note] = layout.recognise(inventory.take(tmp_path), "").notes
    assert note.startswith("Only one split has the class typo (test/), rare (train/): ")


@pytest.mark.parametrize("below", ["", "day 1/", "day 1/left/"])
def test_persons_in_classes_are_told_how_to_be_kept_together(below, tmp_path):
    labels = ("angry", "no emotion (yet)")
    paths = files("train", "test", labels=labels, below=f"S001/{below}") + files("train", labels=labels, below="S002/")
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    [note] = layout.recognise(inventory.take(tmp_path), "").notes
    assert "S001, S002" in note
    subject = groups.parse(shlex.split(note.partition("--group-by ")[2].rstrip("."))[0]).subject
    assert [subject(path) for path in paths] == [path.split("/")[2] for path in paths]
