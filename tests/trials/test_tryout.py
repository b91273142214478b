"""The default configuration is tried before a search begins; in one process."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tensorflow

LESS = "mixed_bfloat16"


@pytest.mark.slow
def test_whether_it_trains_in_what_and_twice_the_same_way_and_can_be_published(job, run_jobs, tmp_path):
    def describe(space, policy="float32"):
        return job("describe", tmp_path, space, dtype_policy=policy)

    outputs = job("trial", tmp_path / "outputs", "last_activation", values={"last": "sigmoid"}, until=1)
    jobs = {
        "same": describe("own_step"),
        "random": describe("random_spaces:system_random"),
        "foreign": describe("random_spaces:variable_in_loss"),
        "regular": describe("regularizes_activity", LESS),
        "cleared": describe("clears_the_session", LESS),
        "half": describe("sets_half_precision", LESS),
        "broken": describe("nothing_trains", LESS),
        "shadowing": describe("odd_spaces:shadowing"),
        "no loss": describe("odd_spaces:loss_of_another_name"),
        "distributed": describe("odd_spaces:distributed"),
        "outputs": outputs,
    }
    answers = dict(zip(jobs, run_jobs(list(jobs.values()), timeout=280), strict=True))
    said = {name: (answer["error"] or {}).get("message", "") for name, answer in answers.items()}
    assert answers["same"]["result"]["dtype_policy"] is None and answers["same"]["result"]["warnings"] == []
    assert "does not train in the same way twice" in said["random"]
    assert "its training uses calls" in said["foreign"]
    for name in ("regular", "cleared"):
        found = answers[name]["result"]
        assert found["dtype_policy"] == "float32", said[name]
        assert "as with --dtype float32, because it cannot in mixed_bfloat16" in found["warnings"][0]
    assert "from 'float32' to 'mixed_float16'" in said["half"]
    assert "RuntimeError: the data pipeline is broken" in said["broken"]
    assert "the saved model, opened again, does not predict what the trained one did" in said["shadowing"]
    assert "train_step of OwnLoss returns crossentropy, but no loss" in said["no loss"]
    assert "in the scope of a MirroredStrategy" in said["distributed"]
    assert "are not probabilities" in said["outputs"] and answers["outputs"]["epochs"] == 0
