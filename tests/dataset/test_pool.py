from __future__ import annotations

import io
import os
import threading
import time

import pytest

from tuning.core.errors import DataError
from tuning.core.progress import SILENT
from tuning.dataset import decode, pool
from tuning.dataset.sources.samples import Ignored, Rejected, Sample


@pytest.fixture
def fill(tmp_path):
    def run(items, on_bad="skip", image_size=8, color="gray", size=0):
        folder = tmp_path / "pool"
        folder.mkdir(exist_ok=True)
        pixels = io.BytesIO()

        def keep(seen, thumb):
            pixels.write(seen.data)

        target = pool.Target((tmp_path / "raw").joinpath, lambda source: size, folder, image_size, color)
        with SILENT.bar(None, "") as bar:
            found = pool.fill(iter(items), target, keep, on_bad, bar)
        return found, pixels.getvalue()

    return run


def test_images_keep_their_order_and_their_bytes(fill, save, tmp_path):
    names = [f"happy/{n:03}.png" for n in range(200)]
    for key, name in enumerate(names):
        save(tmp_path / "raw" / name, key)
    found, pixels = fill([Sample(name, "happy") for name in names])
    assert [image.source for image in found.images] == names
    for row, image in enumerate(found.images):
        original = tmp_path / "raw" / image.source
        assert pixels[row * 64 : (row + 1) * 64] == decode.decode(original, 8, "gray").tobytes()
        assert (tmp_path / "pool" / image.file).read_bytes() == original.read_bytes()
        assert (image.height, image.width) == (20, 16)
        assert image.sha256 == decode.pixel_sha256(decode.read_image(original))


def test_a_copy_in_the_pool_is_never_the_raw_file_itself(fill, save, tmp_path):
    path = save(tmp_path / "raw" / "a.png", 1)
    found, _ = fill([Sample("a.png", "happy")])
    assert not os.path.samefile(path, tmp_path / "pool" / found.images[0].file)
    assert path.stat().st_nlink == 1


def test_faces_of_one_photo_become_images_of_their_own(fill, save, tmp_path):
    save(tmp_path / "raw" / "photo.jpg", 1, 40, 60)
    boxes = [(0.25, 0.5, 0.5, 1.0), (0.75, 0.5, 0.5, 1.0)]
    found, pixels = fill([Sample("photo.jpg", "happy", line, box) for line, box in enumerate(boxes, 1)], color="rgb")
    whole = decode.read_image(tmp_path / "raw" / "photo.jpg")
    for image, half in zip(found.images, (whole[:, :30], whole[:, 30:]), strict=True):
        assert (decode.read_image(tmp_path / "pool" / image.file) == half).all()
        assert (image.width, image.height, image.photo) == (30, 40, "photo.jpg")
    assert len(pixels) == 2 * 8 * 8 * 3
    assert [image.file.endswith(".png") for image in found.images] == [True, True]


def test_rows_of_a_table_become_images(fill, tmp_path):
    found, pixels = fill([Sample("f.csv", "sad", 7, pixels=" ".join(map(str, range(64))))])
    assert pixels == bytes(range(64))
    assert found.images[0].photo is None
    assert (decode.decode(tmp_path / "pool" / found.images[0].file, 8, "gray").tobytes()) == pixels


def bad_items(tmp_path, save):
    save(tmp_path / "raw" / "good.png", 1)
    (tmp_path / "raw" / "text.png").write_text("no image")
    (tmp_path / "raw" / "empty.png").write_bytes(b"")
    return [
        Ignored("notes.txt", "not an image file"),
        Rejected("labels/x.txt:3", "4 columns"),
        Sample("good.png", "happy"),
        Sample("text.png", "happy"),
        Sample("empty.png", "happy"),
        Sample("gone.png", "happy"),
        Sample("good.png", "happy", 1, (0.5, 0.5, 0.1, 0.1)),
        Sample("f.csv", "sad", 2, pixels="1 2 3"),
        Ignored("more.txt", "not an image file"),
    ]


def test_what_cannot_be_used_is_listed_with_the_reason(fill, save, tmp_path):
    found, pixels = fill(bad_items(tmp_path, save))
    assert [image.source for image in found.images] == ["good.png"]
    assert len(pixels) == 64
    assert found.ignored == {"not an image file": 2}
    assert [(entry.source, entry.reason[:14]) for entry in found.rejected] == [
        ("labels/x.txt:3", "4 columns"),
        ("text.png", "the content is"),
        ("empty.png", "the file is em"),
        ("gone.png", "cannot be read"),
        ("good.png#1", "the face box i"),
        ("f.csv#2", "3 pixels are n"),
    ]
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "pool")) == 1


def test_on_request_the_first_of_them_stops(fill, save, tmp_path):
    with pytest.raises(DataError, match=r"labels/x\.txt:3: 4 columns") as caught:
        fill(bad_items(tmp_path, save), on_bad="stop")
    assert "--on-bad skip" in caught.value.remedy


def test_work_in_flight_is_bounded(fill, save, tmp_path, monkeypatch):
    """A source is read only as far ahead as there is work in flight, whatever its length."""
    save(tmp_path / "raw" / "a.png", 1)
    monkeypatch.setattr(pool.machine, "usable_cores", lambda: 1)
    monkeypatch.setattr(pool, "_BATCH", 4)
    handed = written = furthest = 0

    def keep(*_):
        nonlocal written
        written += 1

    def items():
        nonlocal handed, furthest
        for line in range(1, 400):
            handed += 1
            furthest = max(furthest, handed - written)
            yield Sample("a.png", "happy", line)

    (tmp_path / "pool").mkdir()
    with SILENT.bar(None, "") as bar:
        target = pool.Target((tmp_path / "raw").joinpath, lambda source: 0, tmp_path / "pool", 8, "gray")
        pool.fill(items(), target, keep, "skip", bar)
    assert (handed, written) == (399, 399)
    assert furthest <= 4 * 4


@pytest.mark.parametrize(("size", "most"), [(1_600, 1), (35_000, 2)])
def test_threads_take_turns_at_small_files_only(fill, save, tmp_path, monkeypatch, size, most):
    """There they would wait for each other's interpreter lock, and take longer than one alone."""
    names = [f"happy/{n:03}.png" for n in range(256)]
    for key, name in enumerate(names):
        save(tmp_path / "raw" / name, key)
    monkeypatch.setattr(pool.machine, "usable_cores", lambda: 2)
    original, inside, seen, lock = decode.read_file, 0, [], threading.Lock()

    def read_file(path):
        nonlocal inside
        with lock:
            inside += 1
            seen.append(inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        return original(path)

    monkeypatch.setattr(decode, "read_file", read_file)
    found, _ = fill([Sample(name, "happy") for name in names], size=size)
    assert [image.source for image in found.images] == names
    assert max(seen) == most


class TestFileName:
    def test_it_is_the_same_for_the_same_source(self):
        assert pool.file_name(Sample("x/My Face (1).JPG", "happy")) == pool.file_name(
            Sample("x/My Face (1).JPG", "happy")
        )
        assert pool.file_name(Sample("x/My Face (1).JPG", "happy")).startswith("happy/My_Face_1_-")
        assert pool.file_name(Sample("x/My Face (1).JPG", "happy")).endswith(".jpg")

    def test_no_two_sources_share_one(self):
        samples = [
            Sample(f"{folder}/1.{kind}", "happy") for folder in ("a", "b", "A") for kind in ("png", "jpg", "PNG")
        ]
        samples += [Sample("f.csv", "happy", line, pixels="1") for line in range(100)]
        names = {pool.file_name(sample).lower() for sample in samples}
        assert len(names) == len(samples)

    def test_it_is_short_and_plain(self):
        name = pool.file_name(Sample("x/" + "ü" * 200 + ".png", "happy"))
        assert len(name) < 100
        assert name.isascii()
