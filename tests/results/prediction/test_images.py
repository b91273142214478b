"""Which images are meant by what a person gave, and by what arrives on standard input."""

from __future__ import annotations

import itertools
import os

import cv2
import numpy as np
import pytest

from tuning.core.errors import DataError, UsageError
from tuning.dataset.decode import MAX_BYTES
from tuning.results.prediction import images
from tuning.results.prediction.images import Image, bursts, found_at, from_standard_input


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Holds b.png, deeper/a.jpg and notes.txt; it is the working directory. What the files hold is never looked at."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deeper").mkdir()
    for name in ("b.png", "deeper/a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def piped(tmp_path_factory):
    """piped(data) is the descriptor of a file that holds `data`."""
    path = tmp_path_factory.mktemp("piped") / "input"
    descriptors = []

    def pipe(data: bytes) -> int:
        path.write_bytes(data)
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1]

    yield pipe
    for descriptor in descriptors:
        os.close(descriptor)


def paths(found) -> list[str]:
    return [image.path for image in itertools.chain.from_iterable(found)]


def test_folders_stand_for_the_images_below_them_and_nothing_comes_twice(folder):
    assert paths(bursts(["notes.txt", ".", "b.png"], False)) == ["notes.txt", "./b.png", "./deeper/a.jpg", "b.png"]
    assert paths(bursts(["b.png", "b.png", "deeper", "deeper"], False)) == ["b.png", "deeper/a.jpg"]


def test_an_image_without_a_suffix_is_one_too(folder):
    (folder / "photo").write_bytes(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    assert "./photo" in paths(bursts(["."], False))


def test_folders_and_links_that_are_not_read_are_told(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.png").touch()
    for name, target in {
        "album": outside,
        "2024.05": outside,
        "gone": outside / "b",
        "photo": outside / "a.png",
        "again": folder / "deeper",
        "all": folder,
    }.items():
        (folder / name).symlink_to(target)
    (folder / "x" / "/".join("y" * 40)).mkdir(parents=True)
    [found] = bursts(["."], False)
    told = {image.path: image.error for image in found if image.error}
    assert told.pop(next(path for path in told if path.startswith("./x/"))).startswith("nested more than")
    assert told.keys() == {"./2024.05", "./album", "./gone", "./photo"}
    assert all("leads out of" in reason for reason in told.values())


@pytest.mark.parametrize(
    ("given", "says"), [("missing.png", "missing.png does not exist"), ("empty", "empty holds no image")]
)
def test_what_is_given_must_be_there_before_anything_begins(folder, given, says):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=says):
        bursts(["b.png", given], False)


def test_standard_input_has_its_place_among_the_others(folder, piped):
    descriptor = piped(b"b.png\nmissing.png\ndeeper\n")
    found = list(bursts(["notes.txt", "-", "b.png"], False, descriptor))
    assert [paths([burst]) for burst in found] == [
        ["notes.txt"],
        ["b.png", "missing.png", "deeper/a.jpg"],
        ["b.png"],
    ]
    assert [image.error for image in found[1]] == [None, "does not exist, or is no file", None]
    with pytest.raises(UsageError, match="more than once"):
        bursts(["-", "-"], False, descriptor)


def test_blank_lines_line_ends_and_what_is_no_file(folder, piped):
    os.mkfifo(folder / "fifo.png")
    (folder / "empty").mkdir()
    found = list(from_standard_input(piped(b"\nb.png\r\n\n\r\nfifo.png\nempty\ndeeper/a.jpg"), False))
    assert found[0] == [
        Image("b.png"),
        Image("fifo.png", error="does not exist, or is no file"),
        Image("empty", error="holds no image"),
    ]
    assert found[1:] == [[Image("deeper/a.jpg")]]


@pytest.mark.parametrize("size", [2, 65_536])
def test_a_list_may_begin_with_a_byte_order_mark(folder, piped, monkeypatch, size):
    monkeypatch.setattr(images, "_READ_BYTES", size)
    found = from_standard_input(piped(b"\xef\xbb\xbfb\r\nb.png\r\n"[: None if size > 2 else 6]), False)
    assert paths(found) == ["b", "b.png"][: None if size > 2 else 1]


def test_paths_that_end_with_nul_may_hold_anything_else(folder, piped):
    names = ["two\nlines.png", "return\r", os.fsdecode(b"\xff.png")]
    for name in names:
        (folder / name).touch()
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    assert list(from_standard_input(piped(data), True)) == [[Image(name) for name in names]]


def test_a_folder_whose_path_is_no_text_is_not_said_to_lack_permission(folder):
    path = os.fsdecode(b"\xff")
    os.mkdir(path)
    assert found_at(path) == [Image(path, error="has a path that is not valid text")]


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_the_pieces_in_which_paths_arrive_do_not_matter(folder, piped, monkeypatch, size):
    monkeypatch.setattr(images, "_READ_BYTES", size)
    data = b"b.png\ndeeper/a.jpg\nb.png" if size > 2 else b"b\na\nb"
    expected = [os.fsdecode(name) for name in data.split(b"\n")]
    (folder / "a").touch()
    (folder / "b").touch()
    if size == 5:
        # The longest piece without an end is longer than what is read at a time.
        with pytest.raises(UsageError, match="without the end of a path"):
            paths(from_standard_input(piped(data), False))
    else:
        assert paths(from_standard_input(piped(data), False)) == expected


def test_what_has_arrived_can_be_labelled_at_once(folder):
    """Whoever pipes paths as they come to be gets answers before the pipe is closed."""
    reading, writing = os.pipe()
    found = from_standard_input(reading, null=False)
    os.write(writing, b"b.png\nnotes.t")
    assert next(found) == [Image("b.png")]
    os.write(writing, b"xt\n")
    assert next(found) == [Image("notes.txt")]
    os.close(writing)
    assert list(found) == []
    os.close(reading)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*"])
@pytest.mark.parametrize("size", [1, 3, 65_536])
def test_an_image_is_known_by_how_it_begins_in_whatever_pieces(piped, monkeypatch, start, size):
    monkeypatch.setattr(images, "_READ_BYTES", size)
    data = start + bytes(10_000)
    assert list(from_standard_input(piped(data), False)) == [[Image("-", data)]]


def test_a_piped_image_has_a_limit(piped, monkeypatch):
    monkeypatch.setattr("tuning.dataset.decode.MAX_BYTES", 70_000)
    [[image]] = from_standard_input(piped(b"\xff\xd8\xff" + bytes(200_000)), False)
    assert image.data is None and image.error == "more than 70,000 bytes; no more are read"
    assert MAX_BYTES > 70_000


@pytest.mark.parametrize(
    ("data", "null", "says"),
    [(b"a.png\0b.png\0\n", False, "add -0"), (b"x" * 70_000, True, "without the end of a path")],
)
def test_what_is_neither_paths_nor_an_image_is_refused(piped, data, null, says):
    with pytest.raises(UsageError) as caught:
        list(from_standard_input(piped(data), null))
    assert says in f"{caught.value.problem} {caught.value.remedy}"
