from __future__ import annotations

import pytest

from tuning.core.errors import DataError
from tuning.dataset.sources.samples import PooledImage, Rejected
from tuning.dataset.splitting import duplicates as integrity


def image(source, sha, label="happy", photo=None):
    return PooledImage(f"{label}/{source}", source, sha * 64, 48, 48, label, photo=photo)


def test_equal_pixels_and_faces_of_one_photo_are_one_group():
    images = [
        image("1", "a"),
        image("2", "a"),
        image("3", "b", photo="p"),
        image("4", "c", "sad", photo="p"),
        image("5", "c"),
        image("6", "d"),
    ]
    assert [one.group[0] for one in integrity.group(images)] == ["a", "a", "b", "b", "b", "d"]


def test_groups_do_not_depend_on_the_order():
    images = [
        image("1", "d", photo="p"),
        image("2", "a", photo="p"),
        image("3", "d", photo="q"),
        image("4", "c", photo="q"),
    ]
    forwards = {one.source: one.group for one in integrity.group(images)}
    assert {one.source: one.group for one in integrity.group(images[::-1])} == forwards
    assert set(forwards.values()) == {"a" * 16}


def test_equal_pixels_with_different_labels_are_a_conflict():
    images = [image("1", "a"), image("2", "a", "sad"), image("3", "b"), image("4", "b"), image("5", "c", "sad")]
    assert integrity.conflicts(images) == (integrity.Conflict("a" * 64, {"1": "happy", "2": "sad"}),)


def test_copies_are_counted():
    assert integrity.exact_copies([image(str(n), sha) for n, sha in enumerate("aaabbc")]) == (2, 3)


def test_imbalance_is_put_into_words():
    found = integrity.imbalance({"angry": 30, "happy": 90, "neutral": 90, "sad": 30})
    assert (found.largest, found.smallest, found.ratio) == ("happy", "angry", 3.0)
    assert "happy (90)" in found.words
    assert "3.0 times" in found.words
    # Always "happy": right for 90 of 240; F1 of that class 2 * 0.375 / 1.375, the other three 0.
    assert "38% of the time" in found.words
    assert "macro-F1 of 0.14" in found.words


@pytest.mark.parametrize(
    ("counts", "word"),
    [((100, 100), "balanced"), ((150, 100), "mildly"), ((300, 100), "clearly"), ((1000, 100), "strongly")],
)
def test_the_degree_of_imbalance_has_a_name(counts, word):
    assert f"are {word}" in integrity.imbalance(dict(zip("ab", counts, strict=True))).words


def test_of_equal_classes_none_is_the_largest():
    words = integrity.imbalance({"angry": 30, "happy": 30}).words
    assert "each has 30 images" in words and "angry" not in words and "happy" not in words


def pool(**counts):
    keys = iter("0123456789abcdef")
    return integrity.group(
        [image(f"{label}{n}", next(keys), label) for label, count in counts.items() for n in range(count)]
    )


def test_a_sound_pool_passes():
    integrity.check_classes(pool(happy=3, sad=3), {"happy": "happy", "sad": "sad"}, {"happy", "sad"})


@pytest.mark.parametrize(
    ("images", "declared", "problem"),
    [
        (pool(), ["happy"], r"no usable images: 1 × truncated \(such as x\.png\)"),
        (pool(happy=5), ["happy"], "all images are of one class, 'happy'"),
        (pool(happy=5, sad=5), ["fear", "happy", "sad"], "class 'fear' has no usable image"),
        (pool(happy=5, sad=2), ["happy", "sad"], "class 'sad' has 2 different images"),
        (pool(happy=5, sad=1), ["happy", "sad"], "class 'sad' has 1 different image;"),
        (pool(a=3, b=1, c=2, d=1), ["a"], r"class 'b' has 1 different image; .* and test \(likewise c, d\)\n"),
        (pool(a=3, **dict.fromkeys("bcdefghi", 1)), ["a"], r"\(likewise c, d, e, f, g and 2 more\)\n"),
    ],
)
def test_a_pool_nothing_can_be_trained_on_is_refused(images, declared, problem):
    with pytest.raises(DataError, match=problem) as caught:
        integrity.check_classes(images, dict.fromkeys(declared, "there"), declared, [Rejected("x.png", "truncated")])
    assert caught.value.remedy


def test_what_a_small_class_has_lost_is_told():
    images = pool(happy=5, sad=2)
    found = [integrity.Conflict("f" * 64, {"x.png": "sad", "y.png": "happy"})]
    rejected = [Rejected("z.png", "truncated", "sad"), Rejected("w.png", "truncated", "happy")]
    with pytest.raises(DataError, match=r"'sad' has 2 different .*; not counted are 1 × equal pixels") as caught:
        integrity.check_classes(images, {}, (), rejected, (), found)
    assert "1 × truncated (such as z.png)" in caught.value.problem
    assert caught.value.remedy.startswith("remove the images of the wrong label; ")


def test_images_of_too_few_persons_are_not_called_too_few_images():
    images = [image(key, key, "ab"[int(key, 16) % 2], photo="pq"[int(key, 16) // 8]) for key in "0123456789abcdef"]
    with pytest.raises(DataError, match="class 'a' has 8 images, all of 2 persons or photos") as caught:
        integrity.check_classes(images, {}, ())
    assert "add images of others" in caught.value.remedy


def test_of_a_class_that_repeats_others_one_of_its_own_images_is_named():
    images = [
        *(image(f"happy/{n}", "a") for n in range(2)),
        image("sad/0", "a", "sad"),
        image("happy/2", "b"),
        image("all/0", "b", "all"),
    ]
    found = integrity.conflicts(images, "majority")
    images = integrity.without_conflicts(images, found)
    with pytest.raises(DataError, match="all 1 images in all are equal to those of other classes, such as all/0"):
        integrity.check_classes(images, {"all": "all"}, (), conflicting=found)


def test_a_class_that_only_data_yaml_names_may_be_empty():
    integrity.check_classes(pool(happy=3, sad=3), {"happy": "y", "sad": "y", "fear": "y"}, ())
