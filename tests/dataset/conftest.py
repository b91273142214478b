"""Small folders of images, each different, for the tests of the data set."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from tuning import prepare
from tuning.core.workspace import Workspace


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


class Outcome(NamedTuple):
    """What `python -m tuning.prepare` made of an input."""

    code: int
    result: dict[str, Any]
    error: str
    remedy: str


@pytest.fixture
def outcome_of(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`outcome_of(raw, *options)` prepares `raw` as a person would, in 5 CPU seconds, and never with a traceback."""

    def run(*arguments: object) -> Outcome:
        start = time.process_time()
        options = ["--json", "--image-size", 8, "--root", workspace.root]
        code = prepare.main([*map(str, (*options, "--raw", *arguments))])
        assert time.process_time() - start < 5
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "internal error" not in err
        result = json.loads(out)
        lines = err.splitlines()
        if code == 0:
            assert err == ""
            return Outcome(code, result, "", "")
        assert [line[:4] for line in lines] == ["erro", "  → "], err
        assert all(line.isprintable() for line in lines)
        return Outcome(code, result, lines[0], lines[1])

    return run


@pytest.fixture
def expect(outcome_of: Callable[..., Outcome]) -> Callable[..., None]:
    """Compares an outcome with the expected one.

    "<n>: <pattern>" is an acceptance with n images, where the pattern is found in what the summary says was rejected,
    ignored or noted; "refused: <pattern>" is exit code 3 (2 for an option) with the pattern in the error.
    """

    def compare(expected: str, *arguments: object) -> None:
        outcome = outcome_of(*arguments)
        kind, _, pattern = expected.partition(": ")
        if kind == "refused":
            assert outcome.code in (2, 3), outcome
            assert re.search(pattern, outcome.error), outcome.error
            assert len(outcome.remedy) > 10
            return
        assert outcome.code == 0, outcome.error
        summary = outcome.result["summary"]
        told = [f"{entry['source']}: {entry['reason']}" for entry in summary["rejected"]["list"]]
        told += [*summary["notes"], *summary["ignored"], str(summary["conflicts"]["list"])]
        assert summary["images"] == int(kind), told
        assert any(re.search(pattern, line) for line in told), told

    return compare
