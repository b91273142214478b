"""Whether a file whose size or time differs from what was recorded still holds the same content."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset import decode
from tuning.dataset.sources import collection
from tuning.dataset.store import description
from tuning.dataset.store.manifests import read_split_manifest


class ContentCheck:
    """Reads files that differ: arrays are compared by their sha256, images by their pixels.

    Args:
        raws: the raw paths as they were recorded.
    """

    def __init__(self, workspace: Workspace, raws: Sequence[str]) -> None:
        self._workspace = workspace
        names = collection.part_names([Path(raw) for raw in raws])
        self._parts = {f"raw:{raw}": name for raw, name in zip(raws, names, strict=True)}

    def same(self, area: str, name: str, path: Path) -> bool:
        """Whether the file at `path`, recorded as `name` in `area` (see `file_state.Areas`), has the same content."""
        if area == "split" and name in self._hashes:
            return files.sha256_file(path) == self._hashes[name]
        if area == "split" and name == description.DESCRIPTION:
            # `read_info` compares it with the split manifest whenever the arrays are opened.
            return description.read_info(self._workspace) is not None
        if area in self._parts:
            part = self._parts[area]
            expected = self._pixels.get(("source", f"{part}/{name}" if part else name))
        else:
            expected = self._pixels.get(("file", name.partition("/")[2] if area == "split" else name))
        try:
            return expected is not None and decode.pixel_sha256(decode.read_image(path)) == expected
        except (DataError, OSError):
            return False

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        """The sha256 of each array file, by its name."""
        return description.read_description(self._workspace.split).sha256

    @functools.cached_property
    def _pixels(self) -> dict[tuple[str, str], str]:
        """The sha256 of an image's pixels, by its file in the pool and by its source."""
        manifest = read_split_manifest(self._workspace.split_manifest)
        found: dict[tuple[str, str], str] = {}
        for place in manifest.places if manifest else ():
            found["file", place.file] = place.sha256
            found["source", place.source] = place.sha256
        return found
