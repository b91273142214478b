"""Labels for images from within a notebook, by a process of its own.

A process that searches holds Keras on its NumPy backend, on which convolutions do not run (`light_keras`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import EXIT_REFUSED, DataError, EnvironmentProblem, TuningError, UsageError
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    import pandas

_TYPES = {"path": "string", "rank": "Int64", "label": "string", "probability": "float64", "error": "string"}
_ERRORS = {kind.exit_code: kind for kind in (UsageError, DataError, EnvironmentProblem)}


def predict_frame(
    workspace: Workspace,
    images: Path | str | Sequence[Path | str],
    model: Path | str | None = None,
    top_k: int = 1,
) -> pandas.DataFrame:
    """Labels images as `python -m tuning.predict` does.

    Args:
        images: image files and folders of them.
        model: a `.keras` file of a run or an export; None: the promoted model.
        top_k: labels an image.

    Returns:
        One row an image and label: `path`, `rank` (from 1), `label`, `probability`, and `error`, why an image could not
        be read or is not there; then the others are missing.

    Raises:
        TuningError: there is no such model, or it is not what its metrics say.
    """
    import pandas

    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    options = ["--root", str(workspace.root), "--top-k", str(top_k), "--jsonl", "--quiet", "-0"]
    if model is not None:
        options += ["--model", str(model)]
    done = subprocess.run(
        [sys.executable, "-m", "tuning.predict", *options, "-"],
        input=b"".join(os.fsencode(path) + b"\0" for path in paths),
        env=_environment(),
        capture_output=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if done.returncode and not (done.returncode == EXIT_REFUSED and lines):
        raise _error(done.returncode, done.stderr.decode(errors="replace"))
    rows = [row for line in lines for row in _rows(line)]
    return pandas.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)


def _rows(line: Mapping[str, Any]) -> list[tuple]:
    """The rows of one image."""
    if line["error"]:
        return [(line["path"], None, None, None, line["error"])]
    return [
        (line["path"], rank, found["label"], found["probability"], None)
        for rank, found in enumerate(line["labels"], start=1)
    ]


def _environment() -> dict[str, str]:
    """This process's, with the Keras backend that trials use, and this package importable wherever it lies."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    backend = environment.pop("TUNING_BACKEND", None)
    if backend:
        environment["KERAS_BACKEND"] = backend
    elif environment.get("KERAS_BACKEND") == "numpy":
        del environment["KERAS_BACKEND"]
    here = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, environment.get("PYTHONPATH")]))
    return environment


def _error(code: int, messages: str) -> TuningError:
    """The error that a command ended with, as it was raised there."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    problem = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    remedy = next((line.removeprefix("→ ") for line in lines if line.startswith("→ ")), "")
    return _ERRORS.get(code, TuningError)(problem or (lines or [f"ended with {code}"])[-1], remedy)
