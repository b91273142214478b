"""The result of a part, as a table for people and as JSON for programs."""

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
    """A figure with a target: `value` should be at least or at most `bound`; None: it could not be measured."""

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
    """The measurements of a part.

    Attributes:
        columns, rows: the table.
        targets: figures with a target.
        notes: sentences without which the table would be misread.
        data: source and number of images; None if none were used.
        details: further figures for the JSON file.
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
    """Return date, machine, load, and versions of this package and the packages it requires."""
    facts = machine.facts(folder)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {name: facts[name] for name in ("platform", "processor", "features", "cores", "memory_total")},
        "load": [round(load, 2) for load in os.getloadavg()],
        "version": __version__,
        "packages": {package.name: package.installed for package in packages.packages() if package.extra is None},
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format a table as text: the first column left-aligned, the others right-aligned."""
    cells = [list(columns), *[[cell(value) for value in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = []
    for row in cells:
        first, *others = (value.rjust(width) for value, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


def cell(value: Any) -> str:
    """Format a value for the table: floats with about three significant digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
