from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.core.errors import DataError, UsageError
from tuning.dataset.splitting import split
from tuning.dataset.splitting.split import Item

RATIOS = split.DEFAULT_RATIOS


def items(counts, start=0):
    """Single images: label -> how many."""
    return [Item(f"{label}-{i}", label, f"{label}-{i}") for label, n in counts.items() for i in range(start, start + n)]


def table(images, splits):
    return {
        label: tuple(Counter(splits[i.key] for i in images if i.label == label)[name] for name in split.SPLITS)
        for label in {i.label for i in images}
    }


def test_single_images_are_apportioned_exactly():
    images = items({"happy": 1000, "sad": 100, "fear": 7, "rare": 3})
    assert table(images, split.place(images, RATIOS, 0)) == {
        "happy": (700, 150, 150),
        "sad": (70, 15, 15),
        "fear": (5, 1, 1),
        "rare": (1, 1, 1),
    }


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 400)), min_size=30, max_size=120, unique_by=lambda t: t[1]
    ),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_images_changes_nothing_and_groups_stay_whole(pairs, seed, random):
    images = [Item(f"{number}", label, f"group {number // 3}") for label, number in pairs]
    try:
        first = split.place(images, RATIOS, seed)
    except DataError:
        return
    shuffled = images.copy()
    random.shuffle(shuffled)
    assert split.place(shuffled, RATIOS, seed) == first
    homes = {}
    for image in images:
        assert homes.setdefault(image.group, first[image.key]) == first[image.key]
    for counts in table(images, first).values():
        assert min(counts) >= 1


@given(st.integers(1, 60), st.integers(0, 3))
def test_images_that_have_a_place_keep_it(extra, seed):
    old = items({"a": 40, "b": 12})
    before = split.place(old, RATIOS, seed)
    now = [*old, *items({"a": extra}, start=100), *items({"c": 3})]
    after = split.place(now, RATIOS, seed, before)
    assert {key: after[key] for key in before} == before
    assert all(abs(n - (40 + extra) * r / 100) <= 1 for n, r in zip(table(now, after)["a"], RATIOS, strict=True))


def test_the_seed_makes_another_split_of_the_same_shape():
    images = items({"a": 100, "b": 100})
    one, other = (split.place(images, RATIOS, seed) for seed in (0, 1))
    assert one != other
    assert table(images, one) == table(images, other)


def test_a_new_image_joins_its_group():
    old = items({"a": 9, "b": 9})
    before = split.place(old, RATIOS, 0)
    twins = [Item(f"twin of {image.key}", image.label, image.group) for image in old]
    after = split.place([*old, *twins], RATIOS, 0, before)
    assert all(after[f"twin of {key}"] == home for key, home in before.items())


def test_large_groups_of_many_labels_are_balanced():
    """Thirty people who show every expression a few times: a person stays in one split."""
    images = [
        Item(f"{person}-{label}-{n}", label, f"person {person}")
        for person in range(30)
        for label in "abcd"
        for n in range(1 + (person + ord(label)) % 3)
    ]
    counts = table(images, split.place(images, RATIOS, 0))
    for label in "abcd":
        total = sum(counts[label])
        assert all(abs(n / total - r / 100) < 0.07 for n, r in zip(counts[label], RATIOS, strict=True))


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_for_three_splits_is_refused(count):
    with pytest.raises(DataError, match="class 'b' has too few different images"):
        split.place(items({"a": 10, "b": count}), RATIOS, 0)


def test_three_copies_of_one_image_are_not_three_images():
    copies = [Item(f"b{n}", "b", "same") for n in range(3)]
    with pytest.raises(DataError, match="class 'b'"):
        split.place([*items({"a": 10}), *copies], RATIOS, 0)


def test_a_newcomer_that_ties_splits_together_is_torn():
    images = [Item("1", "a", "g"), Item("2", "a", "g"), Item("new", "a", "g"), Item("3", "a", "h")]
    placed = {"1": "train", "2": "test", "3": "val"}
    assert split.conflicting(images, placed) == {"new"}
    assert split.conflicting(images[:2], placed) == {"2"}
    assert split.conflicting(images[3:], placed) == frozenset()
    with pytest.raises(ValueError, match="has images in"):
        split.place(images, RATIOS, 0, placed)


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        ("70/15/15", (70, 15, 15)),
        ("0.8/0.1/0.1", (80, 10, 10)),
        (" 60 / 20 / 20 ", (60, 20, 20)),
        ("98.5/1/0.5", (98.5, 1, 0.5)),
    ],
)
def test_ratios_are_read(text, ratios):
    assert split.parse_ratios(text) == ratios


@pytest.mark.parametrize(
    "text",
    ["", "70", "70/30", "70/15/15/0", "a/b/c", "100/0/0", "70/20/20", "-10/60/50", "1e2/1/1", "nan/1/1", "1..2/3/4"],
)
def test_ratios_that_cannot_be_meant_are_refused(text):
    with pytest.raises(UsageError) as caught:
        split.parse_ratios(text)
    assert "70/15/15" in caught.value.remedy
