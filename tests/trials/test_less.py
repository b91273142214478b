"""What need not be computed: parts of an epoch, curves that have ended, trainings that were done before."""

from __future__ import annotations

import pytest

from tuning.dataset.store.arrays import read_info
from tuning.trials.checkpoint import load_state

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

VALUES = {"optimizer": "adamw", "class_balance": "sampler", "augmentation": 0.5, "units": 16, "schedule": "cosine"}
DEAD = {"depth": 1, "dead": True, "units_0": 4, "units_1": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, job, run_jobs):
    """(folder, {name: outcome}); parts of an epoch in thirds: 9 of them are 3 epochs."""
    folder = tmp_path_factory.mktemp("less")

    def checkpoints(name):
        return str(folder / name / "checkpoints")

    def trial(name, until, space="tiny", values=VALUES, **more):
        if "parent" in more:
            more |= {"parent": checkpoints(more["parent"]), "attempt": 2}
        return job("trial", folder / name, space, values=values, until=until, total_epochs=4, **more)

    thirds = {"parts": 3}
    ends = {"stop_curves": True, "space": "wasteful", "values": DEAD, "keep_chosen": True}
    first = {
        "whole": trial("whole", 9, **thirds),
        "third": trial("third", 1, **thirds),
        "epoch": trial("epoch", 3, parent="third", **thirds),
        "cut": trial("cut", 2, **thirds),
        "between": trial("between", 7, **thirds),
        "plain": trial("plain", 4, keep_chosen=True),
        "early": trial("early", 2, keep_chosen=True),
        "dead": trial("dead", 9, **ends),
        "undead": trial("undead", 9, **{**ends, "stop_curves": False}),
    }
    second = {
        "resumed": trial("cut", 9, **thirds),
        "promoted": trial("promoted", 9, parent="epoch", **thirds),
        "orphan": trial("orphan", 9, parent="nowhere", **thirds),
        "after dead": trial("after dead", 20, parent="dead", **ends),
        "reused": job("final", folder / "reused", "tiny", values=VALUES, parent=checkpoints("plain"), attempt=2),
        "gone on": job("final", folder / "gone on", "tiny", values=VALUES, parent=checkpoints("early"), attempt=2),
        "from scratch": job("final", folder / "from scratch", "tiny", values=VALUES),
    }
    outcomes = {}
    for jobs in (first, second):
        outcomes |= dict(zip(jobs, run_jobs(list(jobs.values())), strict=True))
    return folder, outcomes


def result(outcomes, name):
    assert outcomes[name]["error"] is None, outcomes[name]["error"]
    return outcomes[name]["result"]


def curve(outcomes, name):
    return result(outcomes, name)["curve"]


def state(folder, name):
    found = load_state(folder / name / "checkpoints")
    return [found.epoch, *(array.tobytes() for array in (*found.weights, *found.optimizer))]


class TestPartsOfAnEpoch:
    def test_the_curve_says_epochs(self, trained):
        _, outcomes = trained
        assert [entry["epoch"] for entry in curve(outcomes, "whole")] == [1 / 3, 2 / 3, 1, 2, 3]
        assert [entry["epoch"] for entry in curve(outcomes, "third")] == [1 / 3]
        assert [entry["epoch"] for entry in curve(outcomes, "between")] == [1 / 3, 2 / 3, 1, 2, 3]

    def test_parts_are_parts_and_together_the_epoch(self, trained, prepared):
        folder, _ = trained
        images = read_info(prepared).counts["train"]
        sizes = [(which + 1) * images // 3 - which * images // 3 for which in range(3)]
        batches = [-(-size // 16) for size in sizes]
        assert sum(sizes) == images
        # The optimizer counts its steps.
        assert load_state(folder / "third" / "checkpoints").optimizer[0] == batches[0]
        assert load_state(folder / "epoch" / "checkpoints").optimizer[0] == sum(batches)
        assert load_state(folder / "whole" / "checkpoints").optimizer[0] == sum(batches) + 2 * -(-images // 16)

    @pytest.mark.parametrize("name", ["resumed", "promoted", "orphan"])
    def test_where_it_was_cut_makes_no_difference(self, trained, name):
        folder, outcomes = trained
        assert curve(outcomes, name) == curve(outcomes, "whole")
        assert state(folder, "cut" if name == "resumed" else name) == state(folder, "whole")
        assert outcomes[name]["epochs"] == {"resumed": 3, "promoted": 2, "orphan": 5}[name]

    def test_learning_rates_are_laid_out_in_epochs(self, trained):
        _, outcomes = trained
        parts, whole = curve(outcomes, "whole"), curve(outcomes, "plain")
        assert [entry["learning_rate"] for entry in parts[2:]] == [entry["learning_rate"] for entry in whole[:3]]
        assert parts[0]["learning_rate"] < parts[1]["learning_rate"] < parts[2]["learning_rate"]


class TestEndedCurves:
    def test_a_dead_trial_ends_and_is_not_gone_on_with(self, trained):
        folder, outcomes = trained
        assert len(curve(outcomes, "undead")) == 9
        assert curve(outcomes, "dead") == curve(outcomes, "undead")[:6]
        assert result(outcomes, "dead")["score"] == result(outcomes, "undead")["score"]
        assert curve(outcomes, "after dead") == curve(outcomes, "dead")
        assert outcomes["after dead"]["epochs"] == 0
        assert state(folder, "after dead") == state(folder, "dead")


class TestReusedTrials:
    @pytest.mark.parametrize(("name", "epochs"), [("reused", 0), ("gone on", 2)])
    def test_a_run_goes_on_from_a_trial_of_its_seed_and_is_the_run_from_scratch(self, trained, name, epochs):
        _, outcomes = trained
        assert outcomes[name]["epochs"] == epochs
        for part in ("curve", "weights_sha256", "val", "best_epoch"):
            assert result(outcomes, name)[part] == result(outcomes, "from scratch")[part]
        assert curve(outcomes, name) == curve(outcomes, "plain")
