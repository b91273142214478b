"""What is wrong with a pool, and what it means: exact copies, conflicting labels, imbalance. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuning.core.errors import DataError
from tuning.dataset.sources.samples import PooledImage, Rejected

#: A class needs one group of images in each of train, val and test.
MIN_GROUPS = 3


@dataclass(frozen=True)
class Conflict:
    """Images with the same pixels that carry different labels.

    Attributes:
        sha256: of their pixels.
        sources: where they come from -> label.
        kept: labels whose images stay in the pool.
    """

    sha256: str
    sources: dict[str, str]
    kept: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Images that do not stay in the pool."""
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
        """What it means for a person who looks at macro-F1."""
        if self.ratio < 1.2:
            return (
                f"The classes are balanced: the largest, {self.largest} ({self.largest_count:,}), has {self.ratio:.2f} "
                f"times as many images as the smallest, {self.smallest} ({self.smallest_count:,}); accuracy and "
                f"macro-F1 will tell the same story."
            )
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
    """The images with their groups; see `group_names`."""
    names = group_names(images, linked)
    return tuple(replace(image, group=names[image.sha256]) for image in images)


def group_names(images: Sequence[PooledImage], linked: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """The group of each sha256: the same pixels, faces from the same photo, and images of the same person share one.

    A group is named after the smallest sha256 in it; "the same" is transitive.

    Args:
        linked: pairs of sha256 that belong together besides, such as near copies.
    """
    parents: dict[str, str] = {}

    def root(sha: str) -> str:
        while parents.setdefault(sha, sha) != sha:
            parents[sha] = parents[parents[sha]]
            sha = parents[sha]
        return sha

    def unite(first: str, second: str) -> None:
        one, other = sorted((root(first), root(second)))
        parents[other] = one

    first_with: dict[tuple[str, str], str] = {}
    for image in images:
        for kind, key in (("photo", image.photo), ("subject", image.subject)):
            if key is not None:
                unite(image.sha256, first_with.setdefault((kind, key), image.sha256))
    present = {image.sha256 for image in images}
    for first, second in linked:
        if first in present and second in present:
            unite(first, second)
    return {sha: root(sha)[:16] for sha in present}


def conflicts(images: Iterable[PooledImage], policy: str = "drop") -> tuple[Conflict, ...]:
    """Sets of images with the same pixels and different labels, sorted by sha256.

    Args:
        policy: "drop" keeps none of them, "keep" all, "majority" those whose label more than half of them carry.
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
    """The images that stay, in order."""
    kept = {conflict.sha256: conflict.kept for conflict in found}
    return [image for image in images if image.sha256 not in kept or image.label in kept[image.sha256]]


def exact_copies(images: Iterable[PooledImage]) -> tuple[int, int]:
    """(number of sets of images with the same pixels, images in them beyond the first of each)."""
    counts = Counter(image.sha256 for image in images)
    sets = [count for count in counts.values() if count > 1]
    return len(sets), sum(sets) - len(sets)


def imbalance(counts: Mapping[str, int]) -> Imbalance:
    """Compares the largest and the smallest class; ties go to the first in the alphabet."""
    largest = min(counts, key=lambda label: (-counts[label], label))
    smallest = min(counts, key=lambda label: (counts[label], label))
    return Imbalance(largest, counts[largest], smallest, counts[smallest], sum(counts.values()), len(counts))


def check_classes(
    images: Sequence[PooledImage],
    declared: Mapping[str, str],
    required: bool | Iterable[str],
    rejected: Sequence[Rejected] = (),
) -> None:
    """Refuses a pool that no classifier can be trained on.

    Args:
        declared: label -> where it is declared.
        required: declared classes that must not be empty; True for all, False for none.
        rejected: what could not be used; the first of them explains an empty pool.

    Raises:
        DataError: no images, an empty class, one class only, or a class too small to be in all three splits.
    """
    names = group_names(images)
    groups: dict[str, set[str]] = {}
    for image in images:
        groups.setdefault(image.label, set()).add(names[image.sha256])
    needed = set(declared if required is True else required or ())
    empty = sorted(needed - groups.keys())
    if not groups:
        first = f", such as {rejected[0].source}: {rejected[0].reason}" if rejected else ""
        raise DataError(
            f"no usable images: {len(rejected):,} could not be used{first}", "give --raw a folder with labelled faces"
        )
    if empty:
        raise DataError(
            f"class {empty[0]!r} has no usable image ({declared[empty[0]]})", "add images to it, or remove its folder"
        )
    if len(groups) == 1:
        raise DataError(f"all images are of one class, {next(iter(groups))!r}", "add a second class to tell apart")
    for label, found in sorted(groups.items()):
        if len(found) < MIN_GROUPS:
            raise DataError(
                f"class {label!r} has {len(found)} different image{'s' * (len(found) > 1)}; it takes at least "
                f"{MIN_GROUPS} to be in train, val and test",
                f"add images to {declared.get(label, label)!r}, or remove that class",
            )
