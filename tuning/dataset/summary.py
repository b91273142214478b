"""What `prepare` found, as one record: kept in `pool_summary.json`, returned to Python, and put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tuning.dataset.integrity import Conflict, Imbalance
from tuning.dataset.packing import SPLITS
from tuning.dataset.samples import Rejected

#: How many single files a person is shown; the JSON file lists all.
_SHOWN = 5


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
        conflicts: sets of images with the same pixels and different labels; all of them were dropped.
        imbalance: largest against smallest class.
        notes: what else the person should know.
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

    @property
    def images(self) -> int:
        return sum(sum(splits.values()) for splits in self.counts.values())

    @property
    def dropped(self) -> int:
        """Images dropped because equal ones carry another label."""
        return sum(len(conflict.sources) for conflict in self.conflicts)

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
            "duplicates": {"sets": self.copy_sets, "redundant_images": self.redundant},
            "conflicts": {
                "sets": len(self.conflicts),
                "dropped_images": self.dropped,
                "list": [*map(asdict, self.conflicts)],
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
            conflicts=tuple(Conflict(**entry) for entry in value["conflicts"]["list"]),
            imbalance=Imbalance(**{name: value["imbalance"][name] for name in names}),
            notes=tuple(value["notes"]),
        )

    def text(self) -> str:
        """A page for a person: table of counts, what was left out, and what the imbalance means."""
        lines = [f"{self.images:,} images in {len(self.counts)} classes, from {self.source} in {self.raw}", ""]
        lines += _table(self.counts)
        lines += ["", self.imbalance.words]
        if self.redundant:
            lines.append(
                f"{self.redundant:,} images are exact copies of others ({self.copy_sets:,} sets); copies share a split."
            )
        if self.conflicts:
            lines.append(
                f"{self.dropped:,} images were dropped: equal pixels, different labels ({len(self.conflicts):,} sets), "
                f"such as {_conflict(self.conflicts[0])}."
            )
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
