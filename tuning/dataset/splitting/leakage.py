"""Measures leakage of a split: test images that also occur, or nearly, in train. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuning.core.errors import DataError
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting import names, split
from tuning.dataset.splitting.names import Named


@dataclass(frozen=True)
class Leakage:
    """How many test images also occur in train.

    Attributes:
        test: images in the test split.
        exact: test images with the same pixels as a training image.
        near: test images that are exact or near copies of a training image.
        subject: test images of a person who is also in train; None if no persons are known.
        named: what file names suggest about persons, if none are known; None if they suggest nothing.
        unknown: images (of all splits) without a known person, if other images have one.
    """

    test: int
    exact: int
    near: int
    subject: int | None = None
    named: Named | None = None
    unknown: int = 0

    @property
    def verdict(self) -> tuple[str, str]:
        """Returns ("good", "open" or "bad", the verdict in a sentence)."""
        if self.near or self.subject:
            return "bad", f"Leakage: {self.words}."
        if self.unknown:
            return "open", f"Copies: none. Persons: not checked where --group-by finds none ({self.unknown:,} images)."
        if self.subject is not None:
            return "good", "No leakage found: no person, copy or near copy of a training image is in the test split."
        if self.named is not None:
            return "open", f"Copies: none. Persons: not checked ({self.named.words})."
        return "good", (
            "No leakage found: no test image is a copy, or a near copy, of a training image. Persons: not told apart."
        )

    @property
    def words(self) -> str:
        parts = [f"{self._share(self.exact)} exact copies", f"{self._share(self.near)} near copies"]
        if self.subject is not None:
            parts.append(f"{self._share(self.subject)} images of persons")
        return (
            ", ".join(parts) + " of training images" * (self.subject is None) + " in train" * (self.subject is not None)
        )

    def _share(self, count: int) -> str:
        return f"{count / self.test:.1%}" if self.test else "0%"


def measure(images: Sequence[PooledImage], splits: Mapping[str, str], near_pairs: Sequence[tuple[str, str]]) -> Leakage:
    """Counts what leaks from train into test.

    Args:
        images: with their subjects, if known.
        splits: file -> split, of every image.
        near_pairs: pairs of pixel sha256 that are near copies of each other.
    """
    seen = {image.sha256 for image in images if splits[image.file] == "train"}
    persons = {image.subject for image in images if image.subject and splits[image.file] == "train"}
    alike = {one for pair in near_pairs for one, other in (pair, pair[::-1]) if other in seen}
    test = [image for image in images if splits[image.file] == "test"]
    known = any(image.subject for image in images)
    return Leakage(
        test=len(test),
        exact=sum(image.sha256 in seen for image in test),
        near=sum(image.sha256 in seen or image.sha256 in alike for image in test),
        subject=sum(image.subject in persons for image in test) if known else None,
        named=None if known else names.look(images, splits),
        unknown=sum(image.subject is None for image in images) if known else 0,
    )


def naive(
    images: Sequence[PooledImage], ratios: tuple[float, float, float], seed: int, near_pairs: Sequence[tuple[str, str]]
) -> Leakage | None:
    """Returns what a split that places every image by itself would leak; None if there is no such split."""
    items = [split.Item(image.file, image.label, image.file) for image in images]
    try:
        return measure(images, split.place(items, ratios, seed), near_pairs)
    except DataError:
        return None
