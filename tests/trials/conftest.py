"""Jobs as workers run them, on real TensorFlow, in a process that ends with its list of jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tuning.core.jobs import DescribeJob, Description
from tuning.dataset.store.arrays import read_info
from tuning.trials.runtime import environment
from tuning.trials.spaces import space_digest

_RUN = """
import json, sys
from tuning.engine.executors.running import attempt
for line in sys.stdin:
    job = json.loads(line)
    epochs = []
    result, error = attempt("tuning.trials.jobs:run_job", job["kind"], job["payload"], epochs.append)
    error = error and {"kind": error.kind, "message": error.message}
    print(json.dumps({"result": result, "error": error, "epochs": len(epochs)}), flush=True)
"""


@pytest.fixture(scope="session")
def job(prepared, sample_spaces) -> Callable[..., dict[str, Any]]:
    """`job("trial", folder, "tiny", until=2, …)` describes a job on the prepared data; the rest has usual values.

    A space without a module is one of `sample_spaces`.
    """

    def make(kind: str, folder: Path, space: str, **more: Any) -> dict[str, Any]:
        space = space if ":" in space else f"sample_spaces:{space}"
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(sample_spaces))
            digest = space_digest(space)
        common = {
            "root": str(prepared.root),
            "space": space,
            "space_digest": digest,
            "data_digest": read_info(prepared).digest,
            "threads": 1,
            "dtype_policy": "float32",
        }
        training = {
            "early_stopping": None,
            "reduce_lr": None,
            "total_epochs": 4,
            "until": 4,
            "seed": 5,
            "values": {},
            "attempt": 1,
            "checkpoints": str(folder / "checkpoints"),
        }
        own = {
            "trial": {**training, "trial_id": folder.name, "parent": None, "known": []},
            "final": {**training, "run_id": folder.name, "purpose": "train", "staging": str(folder / "staging")},
            "describe": {"discover": True},
        }
        return {"kind": kind, "payload": {**common, **own[kind], **more}}

    return make


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module("name", "text")` writes an importable module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def described(job, tmp_path, sample_spaces, monkeypatch) -> Callable[..., Description]:
    """`described("tiny", …)` is what is found in a space, on Keras's NumPy backend, in this process.

    That one cannot train: `test_tryout` has real trainings.
    """
    from tuning.trials.discover_space import discover_space

    monkeypatch.syspath_prepend(str(sample_spaces))
    monkeypatch.setattr("tuning.trials.discover_space.try_default", lambda job, dataset: None)

    def run(space: str, **more: Any) -> Description:
        payload = job("describe", tmp_path, space, **more)["payload"]
        return discover_space(msgspec.convert(payload, DescribeJob), lambda entry: None)

    return run


@pytest.fixture(scope="session")
def printed_by(sample_environment) -> Callable[..., Any]:
    """`printed_by(script, "jax", …)` runs a script in a process of its own, and returns the JSON that it prints.

    With a backend, as a worker with one thread; without, as Keras starts by itself.
    """

    def run(script: str, backend: str | None = None, *arguments: str, **more: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**sample_environment, **(environment(backend, 1) if backend else {}), **more},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def run_jobs(sample_environment) -> Callable[..., list[dict[str, Any]]]:
    """Runs jobs one after the other in one new process; returns {result, error, epochs} of each."""

    def run(jobs: list[dict[str, Any]], timeout: float = 200, backend: str = "tensorflow") -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            input="".join(json.dumps(job) + "\n" for job in jobs),
            env=sample_environment | environment(backend, 1),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
