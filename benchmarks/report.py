"""What a part found: a table for people, a JSON file for everything else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuning import __version__
from tuning.core import machine, packages


@dataclass(frozen=True)
class Target:
    """A figure that has something to reach: at least or at most `bound`; `value` None: it could not be measured."""

    name: str
    value: float | None
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def text(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.3g}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.name}: {value} ({'≥' if self.at_least else '≤'} {self.bound:g}) {verdict}".rstrip()


@dataclass(frozen=True)
class Report:
    """What a part measured.

    Attributes:
        columns, rows: the table.
        targets: what had something to reach.
        notes: sentences without which the table would be misread.
        data: what it was measured on; None where no data were used.
        details: everything else worth keeping.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    data: dict[str, Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        parts = [table(self.columns, self.rows)]
        parts += [f"· {note}" for note in self.notes]
        parts += [f"→ {target.text()}" for target in self.targets]
        return "\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "targets": [{**asdict(target), "met": target.met} for target in self.targets],
            "notes": list(self.notes),
            "data": self.data,
            "details": self.details,
        }


def circumstances(folder: Path) -> dict[str, Any]:
    """The machine, its load, versions, the moment."""
    facts = machine.facts(folder)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {name: facts[name] for name in ("platform", "processor", "features", "cores", "memory_total")},
        "load": [round(load, 2) for load in os.getloadavg()],
        "version": __version__,
        "packages": {package.name: package.installed for package in packages.packages() if package.extra is None},
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned text: the first column to the left, the others to the right."""
    cells = [list(columns), *[[cell(value) for value in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = []
    for row in cells:
        first, *others = (value.rjust(width) for value, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


def cell(value: Any) -> str:
    """A value as the table shows it: three digits that mean something."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
