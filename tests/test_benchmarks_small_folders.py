"""How the benchmark of small folders draws its folders."""

from __future__ import annotations

from collections import Counter

from benchmarks.small_folders import drawn, halves, picture
from tuning.dataset.store.manifests import Place


def places(**count: int) -> list[Place]:
    """Return the given number of training images of each label, in groups of three, and one test image."""
    train = [
        Place(f"{label}/{n}.png", f"{n}.png", f"{label}{n}", label, f"{label}{n // 3}", "train")
        for label, number in count.items()
        for n in range(number)
    ]
    return [*train, Place("a/test.png", "test.png", "t", "a", "t", "test")]


def test_a_group_is_on_one_side_and_nothing_but_training_images_on_either():
    images = places(a=90, b=60)
    one, other = halves(images, 0)
    assert not {image.group for image in one} & {image.group for image in other}
    assert sorted([*one, *other], key=str) == sorted(images[:-1], key=str)
    assert min(len(one), len(other)) > 45


def test_a_larger_folder_has_all_of_a_smaller_one_and_of_a_small_class_what_there_is():
    images = places(a=40, b=7)[:-1]
    small, large = drawn(images, 5, 1), drawn(images, 20, 1)
    assert set(small) < set(large)
    assert Counter(image.label for image in large) == {"a": 20, "b": 7}
    assert set(drawn(images, 5, 2)) != set(small)


def test_the_picture_is_drawn(tmp_path):
    rows = [{"images": 10, "scratch": 0.2, "base": 0.4}, {"images": 100, "scratch": 0.3, "base": 0.5}]
    picture(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
