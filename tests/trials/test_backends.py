"""The same trials on the other Keras backends that are installed: a small search for real, and resumes to the bit.

TensorFlow has both in tests of its own.
"""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from tuning.core.workspace import Workspace
from tuning.trials.checkpoint import load_state

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not there"))
    for name in ("jax", "torch")
]
VALUES = {"optimizer": "adamw", "class_balance": "weights", "augmentation": 0.5, "units": 16}
POLICIES = ("float32", "mixed_bfloat16")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


def search(run_command, sample_environment, backend, root, name):
    done = run_command(
        "search", "--root", root, "--space", "sample_spaces:tiny", "--strategy", "random", "--max-trials", 2,
        "--max-epochs", 2, "--top-k", 1, "--workers", 1, "--name", name, "--json", "--quiet",
        env={"PYTHONPATH": sample_environment["PYTHONPATH"], "KERAS_BACKEND": backend},
        timeout=280,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_small_search(backend, tmp_path, prepared, run_command, sample_environment):
    shutil.copytree(prepared.root, tmp_path, dirs_exist_ok=True)
    found = search(run_command, sample_environment, backend, tmp_path, "one")
    assert (found["trials"], found["failed"]) == (2, 0)
    workspace = Workspace(tmp_path)
    settings = json.loads((workspace.search("one") / "search.json").read_text())["settings"]
    assert settings["backend"] == backend
    assert settings["threads"] == 1
    model = workspace.run(found["promoted"]) / "model.keras"
    assert model.stat().st_size > 0


@pytest.fixture(scope="module")
def resumed(backend, tmp_path_factory, job, run_jobs):
    """(folder, outcomes of the first process, of the second one): of each policy, two trials in each process."""
    folder = tmp_path_factory.mktemp("resumed")

    def trial(policy, name, **more):
        return job("trial", folder / policy / name, "tiny", dtype_policy=policy, values=VALUES, **more)

    # The second of a process finds its architecture kept, the first of the other process does not.
    first = [one for policy in POLICIES for one in (trial(policy, "cut", until=2), trial(policy, "whole"))]
    second = [one for policy in POLICIES for one in (trial(policy, "cut", attempt=2), trial(policy, "again"))]
    return folder, run_jobs(first, backend=backend), run_jobs(second, backend=backend)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_resumed_trial_has_the_bits_of_an_uninterrupted_one(resumed, policy):
    folder, *outcomes = resumed
    place = 2 * POLICIES.index(policy)
    first, second = (found[place : place + 2] for found in outcomes)
    assert [outcome["error"] for outcome in (*first, *second)] == [None] * 4
    whole, again, cut = (states(folder / policy / name) for name in ("whole", "again", "cut"))
    assert first[1]["result"]["curve"] == second[0]["result"]["curve"] == second[1]["result"]["curve"]
    assert len(whole) > 5
    assert whole == again == cut


def states(folder):
    found = load_state(folder / "checkpoints")
    return [found.epoch, *(array.tobytes() for array in (*found.weights, *found.optimizer))]
