"""What the parts share: a folder to work in, how thorough to be, and what was made once already."""

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
        scratch: a folder that is removed in the end.
        full: measure thoroughly rather than within minutes.
        say: where to tell what is going on.
    """

    scratch: Path
    full: bool
    say: Callable[[str], None]
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[Path], Made]) -> Made:
        """What `make` returns for a folder of its own, which need not be there yet; parts that share a key share it."""
        if key not in self._made:
            self._made[key] = make(self.scratch / key)
        return self._made[key]

    def sample(self, images: int | None, split: str = "70/15/15") -> data.Sample:
        """A prepared workspace; whoever writes into it uses a search name of its own."""
        key = f"sample-{images or 'all'}-{split.replace('/', '-')}"
        return self.once(key, lambda folder: data.sample(folder, images, split))

    def folder(self, name: str) -> Path:
        """A new folder."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder
