"""Places images in train, val or test. Pure functions: the same images, seed and history give the same split.

Groups, not images, are placed, so that copies of one face never end up in different splits. Each group goes where it
adds least to the chi-square distance between actual and wanted class counts, the sum over splits and classes of
(have - wanted)^2 / wanted; for single images that is Webster's (Sainte-Laguë's) method of apportionment, exact to one
image per class. Larger groups are placed first; groups of equal size in an order keyed by (seed, group), never by name
or position. Images that have a place keep it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tuning.core.errors import DataError, UsageError
from tuning.core.records import keyed_seed
from tuning.dataset.store.description import SPLITS, SplitName

DEFAULT_RATIOS = (70.0, 15.0, 15.0)
_RATIOS = re.compile(r"[\d.]+(?:\s*[/:,]\s*[\d.]+)*")


@dataclass(frozen=True, slots=True)
class Item:
    """One image to place: a unique key (its file in the pool), its label, and the group it must stay with."""

    key: str
    label: str
    group: str


def parse_ratios(text: str) -> tuple[float, float, float]:
    """Reads "70/15/15" (or "0.7/0.15/0.15") as percentages of train, val and test.

    Raises:
        UsageError: not three positive numbers that add up to 100.
    """
    remedy = "give three positive percentages for train, val and test, such as 70/15/15"
    if not _RATIOS.fullmatch(text.strip()):
        raise UsageError(f"--split {text!r} is not three numbers", remedy)
    try:
        numbers = [float(part) for part in re.split(r"[/:,]", text)]
    except ValueError:
        raise UsageError(f"--split {text!r} is not three numbers", remedy) from None
    if abs(sum(numbers) - 1) < 1e-6:
        numbers = [round(100 * number, 6) for number in numbers]
    return check_ratios(numbers)


def check_ratios(ratios: Iterable[float]) -> tuple[float, float, float]:
    """Validates percentages of train, val and test. Raises UsageError as `parse_ratios`."""
    remedy = "give three positive percentages for train, val and test, such as 70/15/15"
    try:
        numbers = [float(number) for number in ratios]
    except (TypeError, ValueError):
        raise UsageError(f"--split {ratios!r} is not three numbers", remedy) from None
    shown = "/".join(f"{number:g}" for number in numbers)
    if len(numbers) != len(SPLITS):
        raise UsageError(f"--split {shown} has {len(numbers)} parts instead of three", remedy)
    if not all(number > 0 for number in numbers):
        raise UsageError(f"--split {shown}: every part must be greater than 0", remedy)
    if abs(sum(numbers) - 100) > 1e-4:
        raise UsageError(f"--split {shown} adds up to {sum(numbers):g} instead of 100", remedy)
    train, val, test = numbers
    return train, val, test


def conflicting(items: Iterable[Item], placed: Mapping[str, SplitName]) -> frozenset[str]:
    """Returns keys of images to leave out, because their group would otherwise be in several splits.

    In a group with images in different splits, the new images are left out, since they may be what links the others;
    without new images, those outside the split that holds most of the group are. The caller forms groups again
    without them, and repeats this until there is no conflict.
    """
    result: set[str] = set()
    for members in _by_group(items).values():
        counts = Counter(placed[item.key] for item in members if item.key in placed)
        if len(counts) > 1:
            newcomers = [item.key for item in members if item.key not in placed]
            home = max(SPLITS, key=lambda split: counts[split])
            result.update(newcomers or [item.key for item in members if placed[item.key] != home])
    return frozenset(result)


def place(
    items: Iterable[Item], ratios: tuple[float, float, float], seed: int, placed: Mapping[str, SplitName] | None = None
) -> dict[str, SplitName]:
    """Places every image, stratified by label.

    Args:
        items: all images of the pool.
        ratios: percentages of train, val and test.
        seed: keys the order in which groups are placed.
        placed: image key -> split, for images that have a place already; no group may be in several splits.

    Returns:
        image key -> "train", "val" or "test".

    Raises:
        DataError: a class cannot be in all three splits.
    """
    groups = _by_group(items)
    placed = placed or {}
    labels = {group: Counter(item.label for item in members) for group, members in groups.items()}
    total = Counter(item.label for members in groups.values() for item in members)
    shares = dict(zip(SPLITS, ratios, strict=True))
    wanted = {split: {label: total[label] * share / 100 for label in total} for split, share in shares.items()}
    have: dict[SplitName, Counter[str]] = {split: Counter() for split in SPLITS}

    homes: dict[str, SplitName] = {}
    for group, members in groups.items():
        found = {placed[item.key] for item in members if item.key in placed}
        if len(found) > 1:
            raise ValueError(f"group {group} has images in {', '.join(sorted(found))}")
        if found:
            homes[group] = found.pop()
            have[homes[group]].update(labels[group])

    new = [group for group in groups if group not in homes]
    new.sort(key=lambda group: (-len(groups[group]), keyed_seed(seed, "split", group), group))
    for group in new:
        homes[group] = _cheapest(labels[group], have, wanted)
        have[homes[group]].update(labels[group])
    _fill_gaps(homes, new, labels, have)
    return {item.key: homes[group] for group, members in groups.items() for item in members}


def _by_group(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return groups


def _cheapest(
    added: Mapping[str, int],
    have: Mapping[SplitName, Mapping[str, int]],
    wanted: Mapping[SplitName, Mapping[str, float]],
) -> SplitName:
    """Returns the split whose distance grows least when `added` joins it; the first of equals."""
    return min(SPLITS, key=lambda split: _cost(added, have[split], wanted[split]))


def _cost(added: Mapping[str, int], have: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    """Returns how much the chi-square distance of one split grows when `added` joins it."""
    cost = 0.0
    for label, count in added.items():
        cost += count * (2 * (have[label] - wanted[label]) + count) / wanted[label]
    return cost


def _fill_gaps(
    homes: dict[str, SplitName],
    new: list[str],
    labels: Mapping[str, Counter[str]],
    have: Mapping[SplitName, Counter[str]],
) -> None:
    """Moves new groups so that every class is in every split, even a class too small for its share to reach one group.

    Raises:
        DataError: a class has no group that can be moved.
    """
    for label in sorted(set().union(*labels.values())):
        for gap in [split for split in SPLITS if not have[split][label]]:
            movable = [
                group
                for group in reversed(new)
                if labels[group][label] and all(have[homes[group]][other] > n for other, n in labels[group].items())
            ]
            if not movable:
                raise DataError(
                    f"class {label!r} has too few different images to be in train, val and test: none is in {gap}; "
                    "copies, and images of one photo or person, count once, and images that have a place keep it",
                    "add images to that class, or remove it",
                )
            group = max(movable, key=lambda group: have[homes[group]][label])
            have[homes[group]].subtract(labels[group])
            have[gap].update(labels[group])
            homes[group] = gap
