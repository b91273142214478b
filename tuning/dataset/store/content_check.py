"""Checks whether a file with another size or time still has the recorded content."""

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
    """Reads files that differ: arrays and raw files are compared by their sha256, prepared images by their pixels.

    Args:
        raws: of each raw path's area, path -> sha256 of the file as it was read; "" where it could not be.
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
            # `read_info` compares it with the split manifest whenever the arrays are opened.
            return description.read_info(self._workspace) is not None
        expected = self._pixels.get(name.partition("/")[2] if area == "split" else name)
        try:
            return expected is not None and decode.pixel_sha256(decode.read_image(path)) == expected
        except (DataError, OSError):
            return False

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        """The sha256 of each array file, by its name."""
        return description.read_description(self._workspace.split).sha256

    @functools.cached_property
    def _pixels(self) -> dict[str, str]:
        """The sha256 of an image's pixels, by its file in the pool."""
        manifest = read_split_manifest(self._workspace.split_manifest)
        return {place.file: place.sha256 for place in manifest.places} if manifest else {}
