"""The findings of `prepare` as one record: written to `pool_summary.json`, returned to Python, and printed."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tuning.core import files, output
from tuning.core.errors import DataError
from tuning.dataset.account import Entry, Outcome
from tuning.dataset.settings import OnConflict
from tuning.dataset.sources.samples import PooledImage, Rejected
from tuning.dataset.splitting.duplicates import Conflict, Imbalance, smallest_tied
from tuning.dataset.splitting.leakage import Leakage
from tuning.dataset.store.description import PREPARE_REMEDY, SPLITS, DatasetInfo, SplitName
from tuning.dataset.store.stored import read_record

if TYPE_CHECKING:
    from tuning.dataset.splitting.near_duplicates import NearPair

SCHEMA = 1
#: A class with fewer validation or test images than this gets a warning.
FEWEST = 5
#: Number of reasons in the printed text; the JSON file lists all files.
_SHOWN = 5


@dataclass(frozen=True)
class NearCopies:
    """Near copies among images with different pixels.

    Attributes:
        sets, images: sets of images connected by near-copy pairs, and images in them.
        pairs: confirmed pairs.
        mirrored: pairs in which one image is mirrored.
        other_label: pairs whose labels differ.
        largest: images in the largest set.
    """

    sets: int = 0
    images: int = 0
    pairs: int = 0
    mirrored: int = 0
    other_label: int = 0
    largest: int = 0

    @staticmethod
    def count(images: Sequence[PooledImage], pairs: Sequence[NearPair]) -> NearCopies:
        """Counts `pairs`, which are positions in `images`."""
        sizes = Counter(smallest_tied((pair.one, pair.other) for pair in pairs).values())
        return NearCopies(
            sets=len(sizes),
            images=sizes.total(),
            pairs=len(pairs),
            mirrored=sum(pair.mirrored for pair in pairs),
            other_label=sum(images[pair.one].label != images[pair.other].label for pair in pairs),
            largest=max(sizes.values(), default=0),
        )


@dataclass(frozen=True)
class PoolSummary:
    """What is in the pool and what was left out.

    Attributes:
        source: kind of the data set ("class folders", "YOLO export", "FER2013 CSV"); several are joined by "and".
        raw: the raw paths, joined by commas.
        counts: label -> split -> images.
        rejected: items that should have been images but could not be used, with reasons.
        ignored: reason -> number of files that are not samples.
        copy_sets, redundant: sets of pool images with the same pixels, and images beyond the first of each.
        conflicts: sets of images with the same pixels and different labels.
        imbalance: largest against smallest class.
        notes: further remarks for the user.
        on_conflict: how conflicts were resolved: "drop", "keep" or "majority".
        near: near copies among images with different pixels.
        group_by: the `--group-by` that identifies persons; None without.
        subjects: number of persons that it distinguished; None without.
        naive: what would leak from train into test if every image were placed by itself.
        leakage: what does leak.
        account: everything that was left out of the data set, by reason.
    """

    source: str
    raw: str
    counts: dict[str, dict[SplitName, int]]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    copy_sets: int
    redundant: int
    conflicts: tuple[Conflict, ...]
    imbalance: Imbalance
    notes: tuple[str, ...]
    on_conflict: OnConflict = "drop"
    near: NearCopies = NearCopies()
    group_by: str | None = None
    subjects: int | None = None
    naive: Leakage | None = None
    leakage: Leakage | None = None
    account: tuple[Entry, ...] = ()

    @property
    def images(self) -> int:
        return sum(sum(splits.values()) for splits in self.counts.values())

    @property
    def dropped(self) -> int:
        """Number of images dropped because images with equal pixels carry another label."""
        return sum(conflict.dropped for conflict in self.conflicts)

    @property
    def grouping(self) -> str:
        """A sentence on which images share a split."""
        kinds = ["exact copies", "near copies"]
        if "YOLO" in self.source:
            kinds.append("faces of one photo")
        if self.subjects is not None:
            kinds.append(f"images of one person ({self.subjects:,} persons by --group-by {self.group_by})")
        return f"{', '.join(kinds[:-1])} and {kinds[-1]} share a split"

    @property
    def leakage_words(self) -> list[str]:
        """Sentences on what leaks from train into test, and what would leak without groups."""
        if self.leakage is None:
            return []
        before = f"; without groups it would be {self.naive.words}" if self.naive else ""
        lines = [f"Leakage, as shares of the test images: {self.leakage.words}{before}."]
        if self.leakage.named:
            lines.append(f"Persons: not checked ({self.leakage.named.words}).")
        return lines

    @property
    def who(self) -> list[str]:
        """A hint that file names seem to identify persons, with the `--group-by` for it; or nothing."""
        named = self.leakage.named if self.leakage else None
        if named is None:
            return []
        return [
            f"File names seem to identify persons, or series of images ({named.prefixes:,} prefixes, such as "
            f"{named.example}). If they do, keep each in one split: prepare another --root with "
            f"--group-by {shlex.quote(named.group_by)}"
        ]

    @property
    def small_classes(self) -> list[str]:
        """A warning about classes with too few validation or test images for a meaningful score; or nothing."""
        small = [
            f"{label} ({splits['val']:,} validation, {splits['test']:,} test)"
            for label, splits in self.counts.items()
            if min(splits["val"], splits["test"]) < FEWEST
        ]
        if not small:
            return []
        return [
            f"Fewer than {FEWEST} validation or test images: {', '.join(small)}. Scores of such a class are mostly "
            "chance: add images to it, or leave it out."
        ]

    def _accounted(self, outcome: Outcome) -> list[str]:
        entries = [entry for entry in self.account if entry.outcome == outcome]
        lines = [f"  {entry.words}{f' → {entry.remedy}' if entry.remedy else ''}" for entry in entries[:_SHOWN]]
        rest = sum(entry.count for entry in entries[_SHOWN:])
        return [*lines, *([f"  … and {rest:,} more in pool_summary.json"] if rest else [])]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `pool_summary.json`: the fields and what is derived from them."""
        own: dict[str, Any] = msgspec.to_builtins(self)
        derived = {"ratio": round(self.imbalance.ratio, 4), "words": self.imbalance.words}
        return {
            "schema": SCHEMA,
            "source": self.source,
            "raw": self.raw,
            "images": self.images,
            "classes": {label: {**splits, "all": sum(splits.values())} for label, splits in self.counts.items()},
            "imbalance": own["imbalance"] | derived,
            "duplicates": {"sets": self.copy_sets, "redundant_images": self.redundant, "near": own["near"]},
            "conflicts": {
                "policy": self.on_conflict,
                "sets": len(self.conflicts),
                "dropped_images": self.dropped,
                "list": own["conflicts"],
            },
            "grouping": {"words": self.grouping, "group_by": self.group_by, "subjects": self.subjects},
            "leakage": {"naive": own["naive"], "split": own["leakage"]},
            "ignored": self.ignored,
            "rejected": {"images": len(self.rejected), "list": own["rejected"]},
            "notes": self.notes,
            "account": own["account"],
        }

    def text(self, width: int | None = None) -> str:
        """Returns the text that `prepare` prints: table of counts, what was left out, and what the imbalance means.

        Args:
            width: wrap lines at words after so many characters; None does not wrap.
        """
        lines = [f"{self.images:,} images in {len(self.counts)} classes, from {self.source} in {self.raw}", ""]
        lines += _table(self.counts)
        lines += ["", self.imbalance.words]
        if self.redundant:
            lines.append(f"{self.redundant:,} images are exact copies of others ({self.copy_sets:,} sets).")
        if self.near.pairs:
            lines.append(
                f"{self.near.images:,} different images are near copies ({self.near.sets:,} sets; "
                f"{self.near.mirrored:,} pairs mirrored, {self.near.other_label:,} pairs with different labels)."
            )
        if self.conflicts:
            lines.append(
                f"{len(self.conflicts):,} sets of equal pixels carry different labels, such as "
                f"{_conflict(self.conflicts[0])}; {self.dropped:,} images were dropped (--on-conflict "
                f"{self.on_conflict})."
            )
        lines.append(f"Groups: {self.grouping}.")
        lines += self.leakage_words + self.who + self.small_classes
        if self.rejected:
            lines.append(f"{len(self.rejected):,} could not be used:")
            lines += self._accounted("unusable")
        if self.ignored:
            lines.append(f"{sum(self.ignored.values()):,} files were ignored:")
            lines += self._accounted("ignored")
        lines += self.notes
        text = "\n".join(lines)
        return text if width is None else output.wrapped(text, width, "python -m tuning.")


@dataclass(frozen=True)
class PreparedDataset:
    """What `prepare_dataset` returns.

    Attributes:
        info: digest, classes, size and counts of the data set, as training sees it.
        summary: what is in the pool, what was left out, and why.
        changed: False if everything was prepared already and nothing was done.
        added, removed: images that this call added to the split or removed from it.
    """

    info: DatasetInfo
    summary: PoolSummary
    changed: bool
    added: int = 0
    removed: int = 0


def write_summary(path: Path, summary: PoolSummary) -> None:
    files.write_json(path, summary.to_json())


def read_summary(path: Path) -> PoolSummary:
    """Reads `pool_summary.json`.

    Raises:
        DataError: the file is missing or invalid.
    """
    try:
        return msgspec.convert(_fields(read_record(path, dict[str, Any], SCHEMA, PREPARE_REMEDY)), PoolSummary)
    except KeyError as error:
        raise DataError(f"{path} is not valid: it lacks {error}", PREPARE_REMEDY) from None
    except (TypeError, AttributeError, msgspec.ValidationError) as error:
        raise DataError(f"{path} is not valid: {error}", PREPARE_REMEDY) from None


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a `PoolSummary` from the content of its file."""
    return {
        **{name: found[name] for name in ("source", "raw", "imbalance", "ignored", "notes", "account")},
        "counts": {label: {split: row[split] for split in SPLITS} for label, row in found["classes"].items()},
        "rejected": found["rejected"]["list"],
        "copy_sets": found["duplicates"]["sets"],
        "redundant": found["duplicates"]["redundant_images"],
        "near": found["duplicates"]["near"],
        "conflicts": found["conflicts"]["list"],
        "on_conflict": found["conflicts"]["policy"],
        "group_by": found["grouping"]["group_by"],
        "subjects": found["grouping"]["subjects"],
        "naive": found["leakage"]["naive"],
        "leakage": found["leakage"]["split"],
    }


def _conflict(conflict: Conflict) -> str:
    """Names one image of each label."""
    first = {label: source for source, label in reversed(conflict.sources.items())}
    return " and ".join(f"{source} ({label})" for label, source in sorted(first.items()))


def _table(counts: Mapping[str, Mapping[SplitName, int]]) -> list[str]:
    sums = {split: sum(splits[split] for splits in counts.values()) for split in SPLITS}
    rows = [
        [label, *(f"{splits[split]:,}" for split in SPLITS), f"{sum(splits.values()):,}"]
        for label, splits in [*counts.items(), ("all", sums)]
    ]
    header, *lines, last = output.aligned(["class", *SPLITS, "all"], rows, [False] + [True] * 4).splitlines()
    rule = "-" * len(header)
    return [header, rule, *lines, rule, last]
