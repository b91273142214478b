"""What the parts share: a scratch folder, how thorough to measure, and results that several parts use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import data

Made = TypeVar("Made")


@dataclass
class Context:
    """One run of the benchmarks.

    Attributes:
        scratch: a folder that is removed at the end.
        full: measure thoroughly, for hours instead of minutes.
        say: reports progress.
    """

    scratch: Path
    full: bool
    say: Callable[[str], None]
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[Path], Made]) -> Made:
        """Return `make(folder)`, computed once per key; `folder` is new to this key and `make` has to create it."""
        if key not in self._made:
            self._made[key] = make(self.scratch / key)
        return self._made[key]

    def sample(self, images: int | None, split: str = "70/15/15") -> data.Sample:
        """Return a prepared workspace. Several parts share it, so each search in it needs a unique name."""
        key = f"sample-{images or 'all'}-{split.replace('/', '-')}"
        return self.once(key, lambda folder: data.sample(folder, images, split))

    def folder(self, name: str) -> Path:
        """Create a folder in the scratch folder."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder
