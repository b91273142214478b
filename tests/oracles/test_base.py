from __future__ import annotations

import json
import threading

import keras_tuner
import pytest

from tuning.core.errors import UsageError
from tuning.oracles.random import RandomOracle


def make(simulated, hyperparameters=None, **settings) -> RandomOracle:
    objective = keras_tuner.Objective("objective", "max")
    oracle = RandomOracle(objective, hyperparameters=hyperparameters or simulated.mixed_space(), **settings)
    oracle.verbose = 0
    return oracle


def finish(oracle, trial, value, status="COMPLETED"):
    if value is not None:
        oracle.update_trial(trial.trial_id, {"objective": value})
    trial.status = status
    oracle.end_trial(trial)


def test_the_lock_is_released_when_a_call_raises(simulated):
    oracle = make(simulated)
    with pytest.raises(ValueError, match="Objective value missing"):
        oracle.update_trial(oracle.create_trial("a").trial_id, {"loss": 1.0})
    thread = threading.Thread(target=oracle.create_trial, args=("b",), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert len(oracle.trials) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("balance", "all"), ("rate", 2.0), ("rate", float("nan")), ("norm", "yes"), ("classes", 8), ("decay", 0.3)],
)
def test_what_is_to_be_tried_first_must_be_in_the_space(simulated, name, value):
    with pytest.raises(UsageError, match=f"`first` has {name}="):
        make(simulated, first=[{"width": 48}, {name: value}])
    make(simulated, first=[{"decay": 0.05}, {"decay": 0.7}, {"width": 33}, {"elsewhere": 1}])


def test_one_tuner_has_one_trial_at_a_time(simulated):
    oracle = make(simulated)
    assert oracle.create_trial("a") is oracle.create_trial("a")
    assert oracle.create_trial("b").trial_id == "0001"


def test_nothing_is_written_without_a_project(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    oracle = make(simulated)
    finish(oracle, oracle.create_trial("a"), 0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_retry_starts_with_fresh_metrics(simulated):
    oracle = make(simulated, max_retries_per_trial=1)
    trial = oracle.create_trial("a")
    finish(oracle, trial, float("nan"))
    assert trial.status == "INVALID"
    again = oracle.create_trial("a")
    assert (again.trial_id, again.status, again.message) == ("0000", "RUNNING", None)
    finish(oracle, again, 0.7)
    assert (again.status, again.score) == ("COMPLETED", 0.7)


def test_retries_end(simulated):
    oracle = make(simulated, max_retries_per_trial=2)
    for _ in range(3):
        trial = oracle.create_trial("a")
        assert trial.trial_id == "0000"
        finish(oracle, trial, None, "INVALID")
    assert trial.status == "FAILED"
    assert oracle.create_trial("a").trial_id == "0001"


def test_a_trial_without_the_objective_fails(simulated):
    oracle = make(simulated)
    trial = oracle.create_trial("a")
    finish(oracle, trial, None)
    assert (trial.status, trial.message) == ("FAILED", "no objective was reported")


def test_the_best_step_is_the_first_best_one(simulated):
    oracle = make(simulated)
    trial = oracle.create_trial("a")
    for step, value in enumerate([0.1, 0.9, 0.9, 0.5]):
        oracle.update_trial(trial.trial_id, {"objective": value, "loss": 1.0}, step=step)
    finish(oracle, trial, None)
    assert (trial.score, trial.best_step) == (0.9, 1)


def test_failures_in_a_row_stop_the_search_only_where_asked(simulated):
    oracle = make(simulated, max_consecutive_failed_trials=2)
    outcomes = iter([None, 0.5, None, None])
    with pytest.raises(RuntimeError, match="2 trials failed in a row"):
        while True:
            value = next(outcomes)
            finish(oracle, oracle.create_trial("a"), value, "FAILED" if value is None else "COMPLETED")
    assert len(oracle.end_order) == 4
    assert oracle.ongoing_trials == {}


def test_a_trial_that_is_not_running_cannot_end(simulated):
    oracle = make(simulated)
    trial = oracle.create_trial("a")
    finish(oracle, trial, 0.5)
    with pytest.raises(ValueError, match="0000 is not running"):
        oracle.end_trial(trial)


def test_entries_that_are_not_allowed_are_refused_and_nothing_has_changed(simulated):
    oracle = make(simulated, allow_new_entries=False)
    trial = oracle.create_trial("a")
    trial.hyperparameters.Int("new", 1, 9)
    with pytest.raises(RuntimeError, match="allow_new_entries"):
        oracle.end_trial(trial)
    assert oracle.ongoing_trials == {"a": trial}


def test_entries_that_are_not_tuned_keep_their_defaults_and_do_not_hide_repeats(simulated):
    oracle = make(simulated, simulated.five_points(), tune_new_entries=False)
    points = []
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        points.append(trial.hyperparameters.values["point"])
        trial.hyperparameters.Int("new", 1, 9)
        finish(oracle, trial, 0.5)
        assert trial.hyperparameters.values["new"] == 1
    assert sorted(points) == [0, 1, 2, 3, 4]


def test_the_callers_space_is_not_changed(simulated):
    given = simulated.five_points()
    oracle = make(simulated, given)
    trial = oracle.create_trial("a")
    trial.hyperparameters.Int("new", 1, 9)
    finish(oracle, trial, 0.5)
    assert [entry.name for entry in given.space] == ["point"]
    assert [entry.name for entry in oracle.get_space().space] == ["point", "new"]


def test_trials_of_different_budgets_are_not_compared_and_the_list_is_not_padded(simulated):
    oracle = make(simulated)
    for epochs, value in ((1, 0.9), (9, 0.4), (9, None)):
        trial = oracle.create_trial("a")
        trial.hyperparameters.values["tuner/epochs"] = epochs
        finish(oracle, trial, value, "FAILED" if value is None else "COMPLETED")
    assert [trial.trial_id for trial in oracle.get_best_trials(9)] == ["0001", "0000"]


def test_a_project_of_another_oracle_is_refused(simulated, tmp_path):
    theirs = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("objective", "max"))
    theirs._set_project_dir(str(tmp_path), "project")
    theirs.save()
    ours = make(simulated)
    ours._set_project_dir(str(tmp_path), "project")
    with pytest.raises(RuntimeError, match="another oracle"):
        ours.reload()


def test_a_kill_between_the_files_of_a_project_loses_nothing(simulated, tmp_path):
    """`oracle.json` alone is the state: a trial's own file that is newer or missing changes nothing."""
    oracle = make(simulated)
    oracle._set_project_dir(str(tmp_path), "project")
    finish(oracle, oracle.create_trial("a"), 0.5)
    running = oracle.create_trial("a")
    (tmp_path / "project" / "trial_0000" / "trial.json").unlink()
    stray = tmp_path / "project" / "trial_0009"
    stray.mkdir()
    (stray / "trial.json").write_text(json.dumps(running.get_state()))
    again = make(simulated)
    again._set_project_dir(str(tmp_path), "project")
    again.reload()
    assert list(again.trials) == ["0000", "0001"]
    assert again.trials["0000"].score == 0.5
    retried = again.create_trial("a")
    assert retried.trial_id == "0001"
    assert retried.hyperparameters.values == running.hyperparameters.values


def test_ids_sort_by_number(simulated):
    oracle = make(simulated, max_trials=10**6)
    oracle.trials = dict.fromkeys(range(9999))
    oracle.recorded = {"rate": 0.5}
    assert [oracle.create_trial(name).trial_id for name in "ab"] == ["9999", "10000"]
