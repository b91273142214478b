"""Jobs on real TensorFlow. All that can share a process does: importing TensorFlow takes longer than the trainings."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tuning.trials.checkpoint import load_state

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

#: Everything that a resume could get wrong at once: dropout and batch norm are in the builder.
VALUES = {"optimizer": "adamw", "class_balance": "sampler", "augmentation": 0.5, "units": 16}
POLICIES = {"float32": "cosine", "mixed_bfloat16": "plateau"}
BUILDERS = {
    "tiny": (2, True),
    "hp_only": (1, True),
    "one_hot_rescaling": (1, False),
    "sparse_logits": (1, True),
    "one_hot_logits_own_metric": (1, False),
    "own_schedule": (1, True),
    "own_step": (1, True),
    "Own": (1, True),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, job, run_jobs):
    """(folder, {name: outcome}): the first process trains, a second goes on where the first one was cut off."""
    folder = tmp_path_factory.mktemp("jobs")

    def trial(name, policy, **more):
        values = {**VALUES, "schedule": POLICIES[policy]}
        return job("trial", folder / name, "tiny", **{"dtype_policy": policy, "values": values, **more})

    def checkpoints(name):
        return str(folder / name / "checkpoints")

    def continued(name, policy, parent, **more):
        return trial(name, policy, parent=checkpoints(parent), attempt=2, **more)

    def weighted(name):
        values = {**VALUES, "schedule": "cosine", "class_balance": "weights"}
        return trial(name, "float32", values=values, until=1)

    first, second = {}, {"weighted, before others": weighted("weighted, before others")}
    for policy in POLICIES:
        first[f"whole {policy}"] = trial(f"whole {policy}", policy)
        first[f"cut {policy}"] = trial(f"cut {policy}", policy, until=2)
        first[f"rung {policy}"] = trial(f"rung {policy}", policy, until=2)
        second[f"resumed {policy}"] = trial(f"cut {policy}", policy, attempt=2)
        second[f"promoted {policy}"] = continued(f"promoted {policy}", policy, f"rung {policy}")
    first["weighted, after others"] = weighted("weighted, after others")
    # Nothing left to train for the second of three: the third still finds a state to go on from.
    second["idle"] = continued("idle", "float32", "rung float32", until=2)
    second["after idle"] = continued("after idle", "float32", "idle")
    second["narrow"] = trial("narrow", "float32", dtype_policy="mixed_bfloat16", until=1)
    second["orphan"] = continued("orphan", "float32", "nowhere")
    second["finished"] = trial("whole float32", "float32", attempt=9)
    second["stopped"] = trial("stopped", "float32", early_stopping=1, until=15, total_epochs=15)
    second["too large"] = trial("too large", "float32", max_memory=2**20 // 200)
    second["endless metric"] = job("trial", folder / "endless metric", "endless_metric", until=2)
    second["endless metric, described"] = job("describe", folder, "endless_metric")
    second["diverged"] = job("trial", folder / "diverged", "diverges", values={"rate": 1e38})
    second["resumed diverged"] = second["diverged"]
    outcomes = {}
    for jobs in (first, second):
        outcomes |= dict(zip(jobs, run_jobs(list(jobs.values())), strict=True))
    return folder, outcomes


def curve(outcomes, name):
    assert outcomes[name]["error"] is None
    return outcomes[name]["result"]["curve"]


def state(folder, name):
    found = load_state(folder / name / "checkpoints")
    return [found.epoch, *(array.tobytes() for array in (*found.weights, *found.optimizer))]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_resumed_trial_cannot_be_told_from_an_uninterrupted_one(trained, policy):
    folder, outcomes = trained
    whole = curve(outcomes, f"whole {policy}")
    assert [entry["epoch"] for entry in whole] == [1, 2, 3, 4]
    assert curve(outcomes, f"cut {policy}") == whole[:2]
    assert curve(outcomes, f"resumed {policy}") == whole
    assert outcomes[f"resumed {policy}"]["epochs"] == 2
    assert state(folder, f"cut {policy}") == state(folder, f"whole {policy}")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_promoted_trial_goes_on_from_the_last_state_with_its_optimizer(trained, policy):
    folder, outcomes = trained
    assert curve(outcomes, f"promoted {policy}") == curve(outcomes, f"whole {policy}")
    assert outcomes[f"promoted {policy}"]["epochs"] == 2
    assert state(folder, f"promoted {policy}") == state(folder, f"whole {policy}")
    # The parent's own state stays: another trial may go on from it.
    assert load_state(folder / f"rung {policy}" / "checkpoints").epoch == 2


def test_the_dtype_policy_is_applied(trained):
    """The same seed and values: were the policy ignored, both losses would be equal to the last bit."""
    _, outcomes = trained
    (narrow,), whole = curve(outcomes, "narrow"), curve(outcomes, "whole float32")
    assert narrow["learning_rate"] == whole[0]["learning_rate"]
    assert narrow["loss"] != whole[0]["loss"]
    assert narrow["loss"] == pytest.approx(whole[0]["loss"], rel=0.1)


def test_the_schedule_shows_in_the_curve(trained):
    _, outcomes = trained
    rates = [entry["learning_rate"] for entry in curve(outcomes, "whole float32")]
    assert rates == pytest.approx([1e-2, 1e-2, 7.525e-3, 2.575e-3])


def test_a_trial_with_nothing_left_to_train_can_be_gone_on_from(trained):
    folder, outcomes = trained
    assert outcomes["idle"]["epochs"] == 0
    assert curve(outcomes, "idle") == curve(outcomes, "whole float32")[:2]
    assert curve(outcomes, "after idle") == curve(outcomes, "whole float32")
    assert state(folder, "after idle") == state(folder, "whole float32")


def test_weights_of_the_samples_are_no_matter_of_what_was_trained_before(trained):
    """One architecture, of which one process has compiled a step without weights, the other none."""
    folder, outcomes = trained
    names = ["weighted, before others", "weighted, after others"]
    assert curve(outcomes, names[0]) == curve(outcomes, names[1])
    assert state(folder, names[0]) == state(folder, names[1])


def test_a_parent_s_lost_state_costs_its_epochs_again_and_nothing_else(trained):
    folder, outcomes = trained
    assert outcomes["orphan"]["epochs"] == 4
    assert curve(outcomes, "orphan") == curve(outcomes, "whole float32")
    assert state(folder, "orphan") == state(folder, "whole float32")


def test_a_finished_trial_run_again_trains_nothing(trained):
    _, outcomes = trained
    assert outcomes["finished"]["epochs"] == 0
    assert outcomes["finished"]["result"]["curve"] == outcomes["whole float32"]["result"]["curve"]


def test_early_stopping_ends_a_trial_before_its_budget(trained):
    _, outcomes = trained
    scores = [entry["val_f1_macro"] for entry in curve(outcomes, "stopped")]
    assert len(scores) < 15
    assert scores[-1] <= max(scores[:-1])
    assert outcomes["stopped"]["result"]["score"] == max(scores)


@pytest.mark.parametrize("name", ["diverged", "resumed diverged"])
def test_a_loss_that_runs_away_fails_with_the_epoch(trained, name):
    _, outcomes = trained
    result = outcomes[name]["result"]
    assert (result["status"], result["score"]) == ("FAILED", None)
    assert result["failure"]["kind"] == "not-finite"
    assert result["failure"]["epoch"] in (1, 2)
    assert f"epoch {result['failure']['epoch']}" in result["failure"]["message"]


def test_a_metric_that_is_never_finite_is_missing_from_the_curve(trained):
    _, outcomes = trained
    entries = curve(outcomes, "endless metric")
    assert [entry["accuracy"] for entry in entries] == [None, None]
    assert all(math.isfinite(entry["loss"] + entry["val_loss"] + entry["val_f1_macro"]) for entry in entries)
    assert outcomes["endless metric"]["result"]["status"] == "COMPLETED"


def test_choices_that_a_builder_took_from_numpy_cross_the_border_as_plain_numbers(trained):
    _, outcomes = trained
    assert outcomes["endless metric, described"]["error"] is None
    assert outcomes["endless metric, described"]["result"]["defaults"]["width"] == 0.5


# Builders as people write them ---------------------------------------------------------------------------------------

_LOAD = """
import json, sys
for name in ("tuning", "search_spaces", "sample_spaces"):
    sys.modules[name] = None  # importing it is an error
import keras, numpy as np
arrays, folder = sys.argv[1:3]
images = np.load(f"{arrays}/test.images.npy")
for name, scaled, logits in json.loads(sys.argv[3]):
    model = keras.models.load_model(f"{folder}/{name}/staging/model.keras", safe_mode=True)
    found = model.predict(images / np.float32(255) if scaled else images, verbose=0)
    if logits:
        found = np.exp(found - found.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
    expected = np.load(f"{folder}/{name}/staging/predictions.npz")["probabilities"]
    print(json.dumps([name, float(np.abs(found - expected).max()), model.dtype_policy.name]))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory, job, run_jobs):
    folder = tmp_path_factory.mktemp("builders")
    jobs = [
        job("final", folder / name, name, until=epochs, total_epochs=epochs, dtype_policy="mixed_bfloat16")
        for name, (epochs, _) in BUILDERS.items()
    ]
    return folder, dict(zip(BUILDERS, run_jobs(jobs), strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_person_s_builder_works_unchanged(published, name):
    folder, outcomes = published
    assert outcomes[name]["error"] is None
    result = outcomes[name]["result"]
    epochs, scaled = BUILDERS[name]
    assert len(result["curve"]) == epochs
    assert all(0 <= entry["val_f1_macro"] <= 1 for entry in result["curve"])
    assert result["input"] == {"image_size": 24, "color": "gray", "scaling": "0-1" if scaled else "0-255"}
    assert result["output"] == ("logits" if "logits" in name else "probabilities")
    assert result["val"].keys() == {"loss", "accuracy", "f1_macro"}
    assert "rate" in result["values"] if name == "hp_only" else True
    # The rate of a schedule that the builder compiled is its own affair.
    assert ("learning_rate" in result["curve"][0]) is (name != "own_schedule")
    probabilities = np.load(folder / name / "staging" / "predictions.npz")["probabilities"]
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    # No terminal's width cuts a column off.
    summary = (folder / name / "staging" / "model_summary.txt").read_text(encoding="utf-8").splitlines()
    assert "Param #" in summary[2] and summary[1].endswith("┓")


def test_what_leaves_loads_in_plain_keras_and_predicts_the_same(published, prepared, sample_environment):
    folder, outcomes = published
    models = [[name, scaled, outcomes[name]["result"]["output"] == "logits"] for name, (_, scaled) in BUILDERS.items()]
    environment = {name: value for name, value in sample_environment.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", _LOAD, prepared.split, folder, json.dumps(models)],
        env=environment,
        cwd=Path(folder),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in found] == list(BUILDERS)
    assert all(difference < 1e-6 for _, difference, _ in found)
    assert {policy for _, _, policy in found} == {"float32"}


def test_what_cannot_fit_into_memory_is_not_trained(trained):
    folder, outcomes = trained
    result = outcomes["too large"]["result"]
    assert (result["status"], result["failure"]["kind"], result["curve"]) == ("FAILED", "too-large", [])
    assert result["memory"] > 2**20 // 200
    assert "at the least, more than the 0 MiB of --max-memory" in result["failure"]["message"]
    assert not (folder / "too large" / "checkpoints").exists()
