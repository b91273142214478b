"""Whether a file whose size or time differs from what was noted down still holds the same content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset import decode
from tuning.dataset.sources import collection
from tuning.dataset.store import description
from tuning.dataset.store.manifests import read_split_manifest


class Judge:
    """Reads files that differ, and compares arrays by their sha256, images by their pixels.

    Args:
        raws: the raw paths as noted down.
    """

    def __init__(self, workspace: Workspace, raws: Sequence[str]) -> None:
        self._workspace = workspace
        names = collection.part_names([Path(raw) for raw in raws])
        self._parts = {f"raw:{raw}": name for raw, name in zip(raws, names, strict=True)}
        self._hashes: Mapping[str, str] | None = None
        self._pixels: dict[tuple[str, str], str] = {}

    def same(self, area: str, name: str, path: Path) -> bool:
        """Of the file at `path`, which was noted down by `name` in `area`; see `census.State`."""
        self._load()
        if area == "split" and name in (self._hashes or {}):
            return files.sha256_file(path) == self._hashes[name]
        if area == "split" and name == description.DESCRIPTION:
            # `read_info` holds it against the split manifest whenever the arrays are opened.
            return description.read_info(self._workspace) is not None
        key = name
        if area == "split":
            key = name.partition("/")[2]
        elif part := self._parts.get(area):
            key = f"{part}/{name}"
        expected = self._pixels.get(("source" if area in self._parts else "file", key))
        try:
            return expected is not None and decode.pixel_sha256(decode.read_image(path)) == expected
        except (DataError, OSError):
            return False

    def _load(self) -> None:
        if self._hashes is None:
            self._hashes = description.read_description(self._workspace.split)["sha256"]
            manifest = read_split_manifest(self._workspace.split_manifest)
            for place in manifest.places if manifest else ():
                self._pixels["file", place.file] = place.sha256
                self._pixels["source", place.source] = place.sha256
