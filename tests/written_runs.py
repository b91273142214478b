"""Fixtures that write finished runs without training, for all tests that read runs (plugin of `tests/conftest.py`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tuning.core.workspace import Workspace
from tuning.dataset.store import description, packing
from tuning.results.runs import StagedRun
from tuning.results.schema import About, Metrics, Params, TrainedWith

CLASSES = ["angry", "happy", "sad"]
#: Content of the summary file that `prepare` would write for the data of `write_data`.
SUMMARY = {
    "schema": 1,
    "source": "class folders",
    "raw": "/secret/place/faces",
    "images": 52,
    "classes": {
        "angry": {"train": 2, "val": 14, "test": 2, "all": 18},
        "happy": {"train": 2, "val": 13, "test": 2, "all": 17},
        "sad": {"train": 2, "val": 13, "test": 2, "all": 17},
    },
    "imbalance": {
        "largest": "angry",
        "largest_count": 18,
        "smallest": "sad",
        "smallest_count": 17,
        "total": 52,
        "classes": 3,
        "ratio": 1.0588,
        "words": "",
    },
    "duplicates": {
        "sets": 1,
        "redundant_images": 2,
        "near": {"sets": 1, "images": 4, "pairs": 3, "mirrored": 0, "other_label": 0},
    },
    "conflicts": {"policy": "drop", "sets": 0, "dropped_images": 0, "list": []},
    "grouping": {"words": "", "group_by": "/secret/place/persons.csv", "subjects": 20},
    "leakage": {
        "naive": {"test": 6, "exact": 1, "near": 2, "subject": 3},
        "split": {"test": 6, "exact": 0, "near": 0, "subject": 0},
    },
    "ignored": {},
    "rejected": {"images": 1, "list": [{"source": "/secret/place/broken.png", "reason": "it is empty"}]},
    "notes": [],
    "account": [],
}


def _about(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "finalist",
        "search": "faces",
        "trial": "0003",
        "rank": 1,
        "space": "baseline_cnn",
        "strategy": "hyperband",
        "seed": 0,
        "parameters": 684_199,
        "test_openings": 1,
        "classes": CLASSES,
        "data_digest": "d" * 64,
        "config_digest": "c" * 64,
        "weights_sha256": "e" * 64,
        "dtype_policy": "float32",
        "versions": {"package": "0.1.0", "python": "3.13", "keras": "3.13.0", "tensorflow": "2.20.0"},
        "input": {"image_size": 48, "color": "gray", "scaling": "0-1"},
        "milliseconds": 0.5,
        "started": "2025-01-01T10:00:00+00:00",
        "finished": "2025-01-01T10:05:00+00:00",
        "train_seconds": 300.5,
        **changes,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace").create()


def _metrics(run_id: str, f1: float, model: bytes, **changes: Any) -> dict[str, Any]:
    classes = changes.get("classes", CLASSES)
    size = len(classes)
    return {
        "schema": 1,
        "run_id": run_id,
        **_about(),
        # Runs have different weights, unless one is a copy of the other.
        "weights_sha256": hashlib.sha256(run_id.encode()).hexdigest(),
        "epochs": 9,
        "best_epoch": 7,
        "val": {"f1_macro": 0.6, "accuracy": 0.62, "loss": 1.1},
        "test": {
            "accuracy": 0.55,
            "precision_macro": 0.54,
            "recall_macro": 0.53,
            "f1_macro": f1,
            "loss": 1.2,
            "per_class": {
                name: {
                    "precision": 0.5,
                    "recall": 0.5,
                    "f1": 0.5,
                    "support": 2,
                    "units": 2,
                    **{f"{figure}_interval": [0.01, 0.99] for figure in ("precision", "recall", "f1")},
                }
                for name in classes
            },
            # Of the two images of a class, one is predicted as the next class.
            "confusion_matrix": [[int((j - i) % size < 2) for j in range(size)] for i in range(size)],
            "f1_macro_interval": [round(max(0.0, f1 - 0.02), 6), round(min(1.0, f1 + 0.02), 6)],
            "accuracy_interval": [0.12, 0.88],
            "units": 2 * size,
            "calibration": {"error": 0.1, "interval": [0.0, 0.4], "overconfident": 0.05},
            "untempered": None,
        },
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "output": "probabilities",
        "additions": None,
        "base": None,
        "best_member": None,
        **changes,
    }


def _written(workspace: Workspace, run_id: str, f1: float, model: bytes, **changes: Any) -> dict[str, Any]:
    metrics = _metrics(run_id, f1, model, **changes)
    folder = workspace.run(run_id)
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(model)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return metrics


@pytest.fixture
def run_metrics() -> Callable[..., Metrics]:
    """`run_metrics(run_id, **changes)` returns the record of a run that is not on disk."""
    return lambda run_id="one", **changes: msgspec.convert(_metrics(run_id, 0.5, b"", **changes), Metrics)


@pytest.fixture
def write_run(workspace: Workspace) -> Callable[..., dict[str, Any]]:
    """`write_run(run_id, f1, **changes)` writes metrics.json and a stand-in model.keras of a published run."""

    def write(run_id: str, f1: float = 0.5, model: bytes | None = None, **changes: Any) -> dict[str, Any]:
        model = run_id.encode() if model is None else model
        return _written(workspace, run_id, f1, model, **changes)

    return write


@pytest.fixture
def make_run() -> Callable[..., dict[str, Any]]:
    """`make_run(workspace, "run-1", f1=0.5, model=b"…", **changes)` writes a run of the command `train`, with two
    classes, in any workspace."""

    def make(workspace: Workspace, run_id: str, f1: float = 0.5, model: bytes = b"a model", **changes: Any) -> dict:
        alone = dict.fromkeys(("search", "trial", "rank", "strategy"))
        given = {"image_size": 8, "color": "gray", "scaling": "0-1"}
        own = {"kind": "train", **alone, "classes": ["happy", "sad"], "input": given, **changes}
        return _written(workspace, run_id, f1, model, **own)

    return make


@pytest.fixture
def write_params(workspace: Workspace) -> Callable[..., None]:
    """`write_params(run_id, values, **settings)` writes params.json into the folder of a run."""

    def write(run_id: str, values: Mapping[str, Any] = {}, **changes: Any) -> None:
        settings = {
            "space": "baseline_cnn",
            "seed": 0,
            "backend": "tensorflow",
            "threads": 1,
            "dtype_policy": "float32",
        }
        settings |= {"early_stopping": None, "reduce_lr": None, "epochs": 9, **changes}
        (workspace.run(run_id) / "params.json").write_text(json.dumps({**values, "settings": settings}))

    return write


@pytest.fixture
def answer(workspace: Workspace, write_run: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """`answer(run_id, labels, predicted, **changes)` writes a run with these predictions and the metrics they give."""
    from tuning.trials.classification import classification_metrics

    def write(
        run_id: str, labels: np.ndarray, predicted: np.ndarray, units: np.ndarray | None = None, **changes: Any
    ) -> dict:
        probabilities = np.eye(len(CLASSES), dtype=np.float32)[predicted]
        units = np.arange(len(labels)) if units is None else units
        test = classification_metrics(labels, probabilities, CLASSES, units)
        metrics = write_run(run_id, **{"test": test, **changes})
        workspace.predictions(run_id).parent.mkdir(exist_ok=True)
        np.savez(workspace.predictions(run_id), labels=labels, probabilities=probabilities, units=units)
        return metrics

    return write


@pytest.fixture
def stage_run(tmp_path: Path) -> Callable[..., StagedRun]:
    """`stage_run(run_id, **about)` writes a StagedRun as a worker does, with a stand-in model.keras."""

    def stage(run_id: str = "faces-1-cccccccc-s0", epochs: int = 5, images: int = 90, **changes: Any) -> StagedRun:
        given = {**_about(), "run_id": run_id, "best_epoch": epochs, "output": "probabilities", **changes}
        about = msgspec.convert({"val": {"f1_macro": 0.6, "accuracy": 0.62, "loss": 1.1}, **given}, About)
        classes = len(about.classes)
        directory = tmp_path / "staging" / run_id
        directory.mkdir(parents=True)
        rng = np.random.default_rng(7)
        labels = np.arange(images, dtype=np.int64) % classes
        scores = rng.random((images, classes)) + 1.2 * np.eye(classes)[labels] * (rng.random((images, 1)) < 0.7)
        probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        units = np.arange(images)
        np.savez(directory / "predictions.npz", labels=labels, probabilities=probabilities, units=units)
        (directory / "model.keras").write_bytes(b"stand-in for a model of " + run_id.encode())
        (directory / "model_summary.txt").write_text("Model: a stand-in\n")
        steps = np.arange(1, epochs + 1)
        rise = 1 - np.exp(-steps / 8)
        history = {
            "epoch": steps.tolist(),
            "loss": (1.9 - 1.2 * rise).tolist(),
            "accuracy": (0.2 + 0.6 * rise).tolist(),
            "val_loss": (1.9 - 0.9 * rise).tolist(),
            "val_accuracy": (0.2 + 0.45 * rise).tolist(),
            "val_f1_macro": (0.15 + 0.44 * rise).tolist(),
            "learning_rate": [0.001] * epochs,
            "seconds": [2.5] * epochs,
        }
        settings = TrainedWith(
            space="baseline_cnn",
            seed=0,
            backend="tensorflow",
            threads=1,
            dtype_policy="float32",
            early_stopping=None,
            reduce_lr=None,
            epochs=epochs,
        )
        params = Params(values={"learning_rate": 0.001, "blocks": 3}, settings=settings)
        return StagedRun(directory, about, history, params)

    return stage


@pytest.fixture
def write_data(workspace: Workspace) -> Callable[..., None]:
    """`write_data(digest)` writes a prepared data set of noise images with that digest, as `prepare` does."""

    def write(digest: str, image_size: int = 8) -> None:
        counts = {"train": 6, "val": 40, "test": 6}
        info = description.DatasetInfo(digest, tuple(CLASSES), image_size, 1, counts)
        rng = np.random.default_rng(3)
        hashes: dict[str, str] = {}
        workspace.split.mkdir(exist_ok=True)
        for split, count in counts.items():
            pixels = rng.integers(0, 256, (count, image_size, image_size, 1), dtype=np.uint8)
            labels = np.arange(count) % len(CLASSES)
            hashes |= packing.write_split(workspace.split, split, pixels, np.arange(count), labels)
        description.write_description(workspace.split, info, "split digest", hashes)
        workspace.split_manifest.write_text(json.dumps({"digest": "split digest"}))

    return write
