from __future__ import annotations

from dataclasses import replace

import pytest

from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting import groups, leakage, names


def pool(files: list[str]) -> list[PooledImage]:
    return [
        PooledImage(f"{index}", file, f"{index:016x}", 9, 9, label=("happy", "sad")[index % 2])
        for index, file in enumerate(files)
    ]


def spread(images: list[PooledImage]) -> dict[str, str]:
    """Every fifth image in test, the one after it in val."""
    return {image.file: {0: "test", 1: "val"}.get(int(image.file) % 5, "train") for image in images}


LETTERS = "ABCDEFGHIJ"


@pytest.mark.parametrize(
    ("files", "person"),
    [
        ([f"sad/Ann_{a}_{n:04d}.jpg" for a in LETTERS for n in range(4)], "Ann_A"),
        ([f"S{a:03d}_00{n}_000000{n}7.png" for a in range(10) for n in range(4)], "S000"),
        ([f"a/{a}-frame{n}.png" for a in range(10) for n in range(4)], "0"),
        ([f"a/Ann_{a}_{n}.jpg#{n}" for a in LETTERS for n in range(4)], "Ann_A"),
        ([f"a/Rafd{45 * n:03d}_{a:02d}_Moroccan_male_sad_left.jpg" for a in range(10) for n in range(4)], "00"),
        ([f"{a}A.{e}.{n}9.tiff" for a in LETTERS for n, e in enumerate(("AN1", "HA2", "HA3", "SA1"))], "AA"),
        ([f"{s}M{a:02d}{e}.JPG" for a in range(10) for s in "AB" for e in ("ANS", "SAHL")], "M00"),
        ([f"happy/S{a:03d}/{n:04d}.png" for a in range(10) for n in range(4)], "S000"),
        ([f"happy/S{a:03d}/{n:03d}/x{n}.png" for a in range(10) for n in range(4)], "S000"),
    ],
)
def test_names_that_carry_persons_are_told_with_an_expression_that_finds_them(files, person):
    images = pool(files)
    found = names.look(images, spread(images))
    assert (found.prefixes, found.test, found.shared, found.example) == (10, 8, 8, person)
    assigned = groups.parse(found.group_by).assign(images)
    assert len({image.subject for image in assigned}) == 10
    assert assigned[0].subject == person
    measured = leakage.measure(images, spread(images), [])
    assert measured.verdict == (
        "open",
        "Copies: none. Persons: not checked (8 of 8 test images share a name's prefix with training).",
    )
    known = leakage.measure(assigned, spread(images), [])
    assert known.named is None
    assert known.verdict[0] == "bad"


@pytest.mark.parametrize(
    "files",
    [
        [f"{n:05d}.png" for n in range(40)],
        [f"happy/happy_{n}.jpg" if n % 2 == 0 else f"sad/sad_{n}.jpg" for n in range(40)],
        [f"{('train', 'val')[n % 2]}_{n}.jpg" for n in range(40)],
        [f"IMG_{n}.jpg" for n in range(40)],
        [f"{c}_{('happy', 'sad')[n % 2]}_{n:04d}.jpg" for n in range(10) for c in ("img", "cam", "train", "val")],
        [f"{('happy', 'sad')[n % 2]}{n // 8}_{n:04d}.jpg" for n in range(40)],
        [f"{('happy', 'sad')[n % 2]}{n // 8}/{n:04d}.jpg" for n in range(40)],
        [f"Ann_{chr(65 + n % 26)}{chr(65 + n // 26)}_0001.jpg" for n in range(40)],
        [f"{n:032x}.jpg" for n in range(40)],
        [],
    ],
)
def test_names_that_say_nothing_of_persons_are_left_alone(files):
    images = pool(files)
    assert names.look(images, spread(images)) is None
    assert leakage.measure(images, spread(images), []).verdict[0] == "good"


def test_versions_of_one_image_are_known_by_roboflow_s_names():
    images = [replace(image, label="happy") for image in pool([f"a/1_jpg.rf.{n:032x}.jpg" for n in range(3)])]
    images += pool(["a/1_jpg.rf.0123456789abcdefABCD.jpg#2"])[:1]
    images += pool([f"b/{n}_png.rf.{n:032x}.jpg" for n in range(9)])
    images += pool(["a/1.rf.jpg", "a/1_jpg.rf.short.jpg"])
    assert names.versions(images) == {image.path: ("happy", "1_jpg") for image in images[:4]}


def test_equal_names_are_of_one_image_only_within_a_class_or_a_photo():
    files = [f"{n}/1_jpg.rf.{n:032x}.jpg" for n in range(4)]
    images = pool(files)
    assert {label for label, _ in names.versions(images).values()} == {"happy", "sad"}
    photos = [replace(image, photo=image.path) for image in images]
    assert set(names.versions(photos).values()) == {("", "1_jpg")}


def test_what_is_called_image_all_over_is_no_image_s_versions():
    images = [replace(image, photo="x") for image in pool([f"image_jpg.rf.{n:032x}.jpg" for n in range(50)])]
    assert not names.versions(images)
    assert len(names.versions(images[:49])) == 49
