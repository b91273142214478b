"""Exact copies, conflicting labels, groups and class imbalance in a pool. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tuning.core.errors import DataError
from tuning.dataset import account
from tuning.dataset.account import Entry
from tuning.dataset.sources.samples import Ignored, PooledImage, Rejected
from tuning.dataset.splitting import names

#: Groups that a class needs: one in each of train, val and test.
MIN_GROUPS = 3
_SHOWN = 5

Key = TypeVar("Key", int, str)


@dataclass(frozen=True)
class Conflict:
    """Images with the same pixels that carry different labels.

    Attributes:
        sha256: of their pixels.
        sources: source of each image -> its label.
        kept: labels whose images stay in the pool.
    """

    sha256: str
    sources: dict[str, str]
    kept: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Number of images that do not stay in the pool."""
        return sum(label not in self.kept for label in self.sources.values())


@dataclass(frozen=True)
class Imbalance:
    """How unevenly the classes are filled."""

    largest: str
    largest_count: int
    smallest: str
    smallest_count: int
    total: int
    classes: int

    @property
    def ratio(self) -> float:
        """Images of the largest class per image of the smallest."""
        return self.largest_count / self.smallest_count

    @property
    def words(self) -> str:
        """What the imbalance means for macro-F1, in words."""
        if self.ratio < 1.2:
            shares = (
                f"the largest, {self.largest} ({self.largest_count:,}), has {self.ratio:.2f} times as many images as "
                f"the smallest, {self.smallest} ({self.smallest_count:,})"
                if self.ratio > 1
                else f"each has {self.largest_count:,} images"
            )
            return f"The classes are balanced: {shares}; accuracy and macro-F1 will tell the same story."
        degree = "mildly" if self.ratio < 2 else "clearly" if self.ratio < 8 else "strongly"
        share = self.largest_count / self.total
        constant = 2 * share / (1 + share) / self.classes
        return (
            f"The classes are {degree} imbalanced: the largest, {self.largest} ({self.largest_count:,}), has "
            f"{self.ratio:.1f} times as many images as the smallest, {self.smallest} ({self.smallest_count:,}). "
            f"Macro-F1 counts every class alike (1/{self.classes} each), however few images it has: a model that "
            f"always answers {self.largest} is right {share:.0%} of the time and has a macro-F1 of {constant:.2f}. "
            f"Class weights or a balanced sampler lift the small classes."
        )


def group(images: Sequence[PooledImage], linked: Iterable[tuple[str, str]] = ()) -> tuple[PooledImage, ...]:
    """Returns the images with their groups; see `group_names`."""
    groups = group_names(images, linked)
    return tuple(replace(image, group=groups[image.sha256]) for image in images)


def group_names(images: Sequence[PooledImage], linked: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Returns the group of each sha256, named after the smallest sha256 in the group.

    Images share a group if they have the same pixels, come from one photo or versions of it, show the same person, or
    are `linked`; groups are the transitive closure of these relations.

    Args:
        linked: further pairs of sha256 that belong together, such as near copies.
    """
    first_with: dict[tuple[str, object], str] = {}
    versions = names.versions(images)
    pairs = []
    for image in images:
        kinds = (("photo", image.photo), ("subject", image.subject), ("version", versions.get(image.path)))
        for kind, key in kinds:
            if key is not None:
                pairs.append((image.sha256, first_with.setdefault((kind, key), image.sha256)))
    present = {image.sha256 for image in images}
    pairs += [pair for pair in linked if present.issuperset(pair)]
    smallest = smallest_tied(pairs)
    return {sha: smallest.get(sha, sha)[:16] for sha in present}


def smallest_tied(pairs: Iterable[tuple[Key, Key]]) -> dict[Key, Key]:
    """Maps each element of the pairs to the smallest element of its connected component (union-find)."""
    parents: dict[Key, Key] = {}

    def root(key: Key) -> Key:
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    for first, second in pairs:
        smaller, larger = sorted((root(first), root(second)))
        parents[larger] = smaller
    return {key: root(key) for key in parents}


def conflicts(images: Iterable[PooledImage], policy: str = "drop") -> tuple[Conflict, ...]:
    """Finds sets of images with the same pixels and different labels, sorted by sha256.

    Args:
        policy: of each set, "drop" keeps no image, "keep" all, "majority" those whose label more than half carry.
    """
    same: dict[str, list[PooledImage]] = {}
    for image in images:
        same.setdefault(image.sha256, []).append(image)
    return tuple(
        Conflict(sha, {image.source: image.label for image in members}, _kept([i.label for i in members], policy))
        for sha, members in sorted(same.items())
        if len({image.label for image in members}) > 1
    )


def _kept(labels: Sequence[str], policy: str) -> tuple[str, ...]:
    if policy == "keep":
        return tuple(sorted(set(labels)))
    label, count = Counter(labels).most_common(1)[0]
    return (label,) if policy == "majority" and 2 * count > len(labels) else ()


def without_conflicts(images: Iterable[PooledImage], found: Iterable[Conflict]) -> list[PooledImage]:
    """Returns the images that stay, in order."""
    kept = {conflict.sha256: conflict.kept for conflict in found}
    return [image for image in images if image.sha256 not in kept or image.label in kept[image.sha256]]


def exact_copies(images: Iterable[PooledImage]) -> tuple[int, int]:
    """Returns (number of sets of images with the same pixels, images in them beyond the first of each)."""
    counts = Counter(image.sha256 for image in images)
    sets = [count for count in counts.values() if count > 1]
    return len(sets), sum(sets) - len(sets)


def imbalance(counts: Mapping[str, int]) -> Imbalance:
    """Compares the largest and the smallest class; of equal classes, the alphabetically first counts."""
    largest = min(counts, key=lambda label: (-counts[label], label))
    smallest = min(counts, key=lambda label: (counts[label], label))
    return Imbalance(largest, counts[largest], smallest, counts[smallest], sum(counts.values()), len(counts))


def dropped(found: Iterable[Conflict]) -> tuple[Rejected, ...]:
    """Returns the images that are dropped because images with equal pixels carry another label."""
    return tuple(
        Rejected(source, "equal pixels carry another label", label)
        for conflict in found
        for source, label in conflict.sources.items()
        if label not in conflict.kept
    )


def check_classes(
    images: Sequence[PooledImage],
    declared: Mapping[str, str],
    required: Collection[str],
    rejected: Sequence[Rejected] = (),
    ignored: Sequence[Ignored] = (),
    conflicting: Sequence[Conflict] = (),
    seen: Collection[str] = (),
) -> None:
    """Refuses a pool that no classifier can be trained on.

    Args:
        declared: label -> where it is declared.
        required: declared classes that must not be empty.
        rejected, ignored: items that are not in the pool; they explain an empty class.
        conflicting: conflicts, which explain it too.
        seen: labels that samples carry, usable or not; these classes must not be empty either.

    Raises:
        DataError: no images, an empty class, one class only, or a class too small to be in all three splits.
    """
    found_groups = group_names(images)
    groups: dict[str, set[str]] = {}
    for image in images:
        groups.setdefault(image.label, set()).add(found_groups[image.sha256])
    empty = sorted({*required, *seen} - groups.keys())
    gone = dropped(conflicting)
    repeating = _repeating(conflicting, groups.keys())
    if repeating is not None:
        where = declared.get(repeating, repeating)
        repeated = [entry for entry in gone if entry.label == repeating]
        raise DataError(
            f"class {repeating!r} has no image of its own: all {len(repeated):,} images in {where} are equal to those "
            f"of other classes, such as {repeated[0].source}",
            "remove it from the raw folder if it repeats the others, or run with --on-conflict keep",
        )
    if not groups:
        entries = account.take(rejected, ignored, gone)
        raise DataError(f"no usable images: {account.words(entries) or 'none found'}", account.best_remedy(entries))
    if empty:
        where = declared.get(empty[0], "")
        entries = account.take(
            [item for item in rejected if _is_of(item, empty[0], where)],
            [item for item in ignored if _is_of(item, empty[0], where)],
            [item for item in gone if _is_of(item, empty[0], where)],
        )
        why = f": {account.words(entries)}" if entries else ""
        remedy = f"{account.best_remedy(entries)}; or " if entries else ""
        what = "its folder" if empty[0] in required else "its labels"
        raise DataError(
            f"class {empty[0]!r} has no usable image ({where}){why}", f"{remedy}add images to it, or remove {what}"
        )
    if len(groups) == 1:
        raise DataError(f"all images are of one class, {next(iter(groups))!r}", "add a second class to tell apart")
    small = {label: len(found) for label, found in sorted(groups.items()) if len(found) < MIN_GROUPS}
    if small:
        label = next(iter(small))
        left_out = account.take([e for e in rejected if e.label == label], (), [e for e in gone if e.label == label])
        raise _too_small(small, images, declared, left_out)


def _too_small(
    small: Mapping[str, int], images: Sequence[PooledImage], declared: Mapping[str, str], left_out: Sequence[Entry]
) -> DataError:
    """Returns the error for too small classes; it explains the first one.

    Args:
        small: label -> number of groups.
        left_out: the account of the first label's images that are not in the pool.
    """
    (label, count), *others = small.items()
    place = repr(declared.get(label, label))
    different = len({image.sha256 for image in images if image.label == label})
    if different == count:
        problem = f"class {label!r} has {count} different image{'s' * (count > 1)}"
        remedy = f"add images to {place}"
    else:
        who = "one person or photo" if count == 1 else f"{count} persons or photos"
        problem = f"class {label!r} has {different:,} images, all of {who}"
        remedy = f"look whether --group-by finds persons, or add images of others to {place}"
    problem += f"; it takes at least {MIN_GROUPS} to be in train, val and test"
    end = "or remove that class"
    if others:
        more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
        problem += f" (likewise {', '.join(other for other, _ in others[:_SHOWN])}{more})"
        remedy, end = f"{remedy} and to the others", "or remove these classes"
    if left_out:
        problem += f"; not counted are {account.words(left_out)}"
        remedy = f"{account.best_remedy(left_out)}; or {remedy}"
    return DataError(problem, f"{remedy}, {end}")


def _is_of(item: Rejected | Ignored, label: str, where: str) -> bool:
    """Whether an item belongs to the class `label`, declared in `where` (a folder, or a file with class names)."""
    return (isinstance(item, Rejected) and item.label == label) or f"{item.source}/".startswith(f"{where}/")


def _repeating(found: Sequence[Conflict], filled: Collection[str]) -> str | None:
    """Returns the class whose folder repeats images of the others: it is in every conflict and has no other image."""
    labels = [set(conflict.sources.values()) for conflict in found if not conflict.kept]
    if not labels or any(len(pair) > 2 for pair in labels):
        return None
    empty = [label for label in set.intersection(*labels) if label not in filled]
    return empty[0] if len(empty) == 1 else None
