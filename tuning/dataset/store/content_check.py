"""Checks whether a file whose size or time has changed still has the recorded content."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset import decode
from tuning.dataset.store import description
from tuning.dataset.store.manifests import read_split_manifest


class ContentCheck:
    """Compares array files and raw files by their sha256, prepared images by their pixels.

    Args:
        raws: area of each raw path -> path -> recorded sha256; "" if the file could not be read.
    """

    def __init__(self, workspace: Workspace, raws: Mapping[str, Mapping[str, str]]) -> None:
        self._workspace = workspace
        self._raws = raws

    def same(self, area: str, name: str, path: Path) -> bool:
        """Whether the file at `path`, recorded as `name` in `area` (see `file_state.Areas`), has the same content."""
        if area in self._raws:
            return self._raws[area].get(name) == files.sha256_or_nothing(path)
        if area == "split" and name in self._hashes:
            return files.sha256_file(path) == self._hashes[name]
        if area == "split" and name == description.DESCRIPTION:
            # Raises DataError if it does not fit the split manifest.
            return description.read_info(self._workspace) is not None
        expected = self._pixels.get(name.partition("/")[2] if area == "split" else name)
        try:
            return expected is not None and decode.pixel_sha256(decode.read_image(path)) == expected
        except (DataError, OSError):
            return False

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        """Name of each array file -> its sha256."""
        return description.read_description(self._workspace.split).sha256

    @functools.cached_property
    def _pixels(self) -> dict[str, str]:
        """File in the pool -> sha256 of its pixels."""
        manifest = read_split_manifest(self._workspace.split_manifest)
        return {place.file: place.sha256 for place in manifest.places} if manifest else {}
