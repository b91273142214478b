"""What `prepare` found, as one record: kept in `pool_summary.json`, returned to Python, and put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tuning.dataset.sources.samples import PooledImage, Rejected
from tuning.dataset.splitting.duplicates import Conflict, Imbalance
from tuning.dataset.splitting.leakage import Leakage
from tuning.dataset.store.description import SPLITS

if TYPE_CHECKING:
    from tuning.dataset.splitting.near_duplicates import NearPair

#: How many single files a person is shown; the JSON file lists all.
_SHOWN = 5


@dataclass(frozen=True)
class NearCopies:
    """Near copies among images with different pixels.

    Attributes:
        sets, images: sets of images that near copies tie together, and images in them.
        pairs: confirmed pairs.
        mirrored: those that show each other as in a mirror.
        other_label: those whose labels differ.
    """

    sets: int = 0
    images: int = 0
    pairs: int = 0
    mirrored: int = 0
    other_label: int = 0

    @staticmethod
    def count(images: Sequence[PooledImage], pairs: Sequence[NearPair]) -> NearCopies:
        """Counts `pairs`, whose numbers are positions in `images`."""
        home: dict[int, int] = {}
        members: dict[int, list[int]] = {}
        for pair in pairs:
            for row in (pair.one, pair.other):
                if row not in home:
                    home[row], members[row] = row, [row]
            one, other = home[pair.one], home[pair.other]
            if one != other:
                members[one] += members[other]
                home |= dict.fromkeys(members.pop(other), one)
        return NearCopies(
            sets=len(members),
            images=len(home),
            pairs=len(pairs),
            mirrored=sum(pair.mirrored for pair in pairs),
            other_label=sum(images[pair.one].label != images[pair.other].label for pair in pairs),
        )


@dataclass(frozen=True)
class PoolSummary:
    """What is in the pool and what is not.

    Attributes:
        source: what kind of data set was found ("class folders", "YOLO export", "FER2013 CSV").
        raw: the raw folder.
        counts: label -> split -> images.
        rejected: what should have been an image and is none, with reasons.
        ignored: reason -> how many files were no samples for that reason.
        copy_sets, redundant: sets of images with the same pixels and label, and images beyond the first of each.
        conflicts: sets of images with the same pixels and different labels.
        imbalance: largest against smallest class.
        notes: what else the person should know.
        on_conflict: what became of conflicts: "drop", "keep" or "majority".
        near: near copies among the different images.
        group_by: the `--group-by` that tells who is on an image; None without.
        subjects: how many persons it told apart; None without.
        naive: what would leak from train into test if every image were placed by itself.
        leakage: what does leak.
    """

    source: str
    raw: str
    counts: dict[str, dict[str, int]]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    copy_sets: int
    redundant: int
    conflicts: tuple[Conflict, ...]
    imbalance: Imbalance
    notes: tuple[str, ...]
    on_conflict: str = "drop"
    near: NearCopies = NearCopies()
    group_by: str | None = None
    subjects: int | None = None
    naive: Leakage | None = None
    leakage: Leakage | None = None

    @property
    def images(self) -> int:
        return sum(sum(splits.values()) for splits in self.counts.values())

    @property
    def dropped(self) -> int:
        """Images dropped because equal ones carry another label."""
        return sum(conflict.dropped for conflict in self.conflicts)

    @property
    def grouping(self) -> str:
        """Which images share a split, in words."""
        kinds = ["exact copies", "near copies"]
        if "YOLO" in self.source:
            kinds.append("faces of one photo")
        if self.subjects is not None:
            kinds.append(f"images of one person ({self.subjects:,} persons by --group-by {self.group_by})")
        return f"{', '.join(kinds[:-1])} and {kinds[-1]} share a split"

    @property
    def leakage_words(self) -> list[str]:
        """What leaks from train into test, and what would without groups."""
        if self.leakage is None:
            return []
        before = f"; without groups it would be {self.naive.words}" if self.naive else ""
        return [f"Leakage, as shares of the test images: {self.leakage.words}{before}."]

    def to_json(self) -> dict[str, Any]:
        """The content of `pool_summary.json`."""
        return {
            "schema": 1,
            "source": self.source,
            "raw": self.raw,
            "images": self.images,
            "classes": {label: {**splits, "all": sum(splits.values())} for label, splits in self.counts.items()},
            "imbalance": {
                **asdict(self.imbalance),
                "ratio": round(self.imbalance.ratio, 4),
                "words": self.imbalance.words,
            },
            "duplicates": {
                "sets": self.copy_sets,
                "redundant_images": self.redundant,
                "near": asdict(self.near),
            },
            "conflicts": {
                "policy": self.on_conflict,
                "sets": len(self.conflicts),
                "dropped_images": self.dropped,
                "list": [*map(asdict, self.conflicts)],
            },
            "grouping": {"words": self.grouping, "group_by": self.group_by, "subjects": self.subjects},
            "leakage": {
                "naive": self.naive.to_json() if self.naive else None,
                "split": self.leakage.to_json() if self.leakage else None,
            },
            "ignored": self.ignored,
            "rejected": {"images": len(self.rejected), "list": [*map(asdict, self.rejected)]},
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PoolSummary:
        """Reads `to_json` back. Raises KeyError or TypeError on anything else."""
        names = Imbalance.__dataclass_fields__
        return PoolSummary(
            source=value["source"],
            raw=value["raw"],
            counts={label: {split: splits[split] for split in SPLITS} for label, splits in value["classes"].items()},
            rejected=tuple(Rejected(**entry) for entry in value["rejected"]["list"]),
            ignored=dict(value["ignored"]),
            copy_sets=value["duplicates"]["sets"],
            redundant=value["duplicates"]["redundant_images"],
            conflicts=tuple(
                Conflict(entry["sha256"], entry["sources"], tuple(entry["kept"]))
                for entry in value["conflicts"]["list"]
            ),
            imbalance=Imbalance(**{name: value["imbalance"][name] for name in names}),
            notes=tuple(value["notes"]),
            on_conflict=value["conflicts"]["policy"],
            near=NearCopies(**value["duplicates"]["near"]),
            group_by=value["grouping"]["group_by"],
            subjects=value["grouping"]["subjects"],
            **{
                name: Leakage(**entry) if (entry := value["leakage"][key]) else None
                for name, key in (("naive", "naive"), ("leakage", "split"))
            },
        )

    def text(self) -> str:
        """A page for a person: table of counts, what was left out, and what the imbalance means."""
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
        lines += self.leakage_words
        if self.rejected:
            reasons = Counter(entry.reason for entry in self.rejected).most_common(3)
            lines.append(
                f"{len(self.rejected):,} could not be used ("
                + "; ".join(f"{count:,} × {reason}" for reason, count in reasons)
                + "):"
            )
            lines += [f"  {entry.source}: {entry.reason}" for entry in self.rejected[:_SHOWN]]
            if len(self.rejected) > _SHOWN:
                lines.append(f"  … and {len(self.rejected) - _SHOWN:,} more in pool_summary.json")
        if self.ignored:
            lines.append(
                "Ignored: " + "; ".join(f"{count:,} × {reason}" for reason, count in self.ignored.items()) + "."
            )
        lines += self.notes
        return "\n".join(lines)


def _conflict(conflict: Conflict) -> str:
    """One image of each label."""
    first = {label: source for source, label in reversed(conflict.sources.items())}
    return " and ".join(f"{source} ({label})" for label, source in sorted(first.items()))


def _table(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    sums = {split: sum(splits[split] for splits in counts.values()) for split in SPLITS}
    rows = [("class", *SPLITS, "all")]
    rows += [
        (label, *(f"{splits[split]:,}" for split in SPLITS), f"{sum(splits.values()):,}")
        for label, splits in [*counts.items(), ("all", sums)]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for label, *cells in rows:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"{label:<{widths[0]}}", *padded]))
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
