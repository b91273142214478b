"""Small folders of images, each different, for the tests of the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from tuning.workspace import Workspace


def picture(key: int, height: int = 20, width: int = 16) -> np.ndarray:
    """uint8 BGR noise that is the same for the same key and differs between keys."""
    return np.random.default_rng(key).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def save() -> Callable[..., Path]:
    """`save(path, key)` writes picture `key` in the format of the suffix; returns the path."""

    def write(path: Path, key: int, height: int = 20, width: int = 16) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        ok, data = cv2.imencode(path.suffix, picture(key, height, width))
        assert ok
        path.write_bytes(data.tobytes())
        return path

    return write


@pytest.fixture
def faces(save: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """`faces({"happy": 10, "sad": 5})` makes a raw folder with that many images per class; returns it."""

    def make(counts: Mapping[str, int], folder: Path | None = None) -> Path:
        folder = folder or tmp_path / "raw"
        key = 0
        for name, count in counts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                save(folder / name / f"{number:03}.png", key)
                key += 1
        return folder

    return make


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")
