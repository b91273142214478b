"""A journal's records become trials, configurations, rungs and times."""

from __future__ import annotations

import pytest

from tuning.core.records import TrialSpec
from tuning.history.reading import read_history
from tuning.results.report.data import brackets, chart_data


def test_a_chain_of_promotions_is_one_configuration(hyperband):
    history = read_history(hyperband().records)
    assert len(history.trials) == 9 + 3 + 1 + 5 + 1 + 3
    assert len(history.configurations) == 9 + 5 + 3
    chain = max(history.configurations, key=lambda entry: len(entry.trials))
    assert [trial.epochs for trial in chain.trials] == [1, 3, 9]
    assert len(chain.curve) == 9
    # The worker counts seconds from the first epoch of the chain; each epoch is counted once all the same.
    assert chain.seconds == 18
    assert [trial.new_epochs for trial in chain.trials] == [1, 2, 6]
    assert history.epochs == sum(len(entry.curve) for entry in history.configurations)


def test_best_so_far_rises_and_counts_everything_once(hyperband):
    search = hyperband()
    history = read_history(search.records)
    best = [step.best for step in history.steps]
    assert best == sorted(best)
    assert best[-1] == max(trial.score for trial in history.trials if trial.score is not None)
    assert [step.trials for step in history.steps] == list(range(1, 23))
    assert [step.score is None for step in history.steps].count(True) == len(history.failed) == 2


def test_trials_between_two_notes_of_time_share_the_interval(random_search):
    history = read_history(random_search(4).records)
    assert [step.seconds for step in history.steps] == [10, 20, 30, 40]
    assert history.seconds == 40


def test_without_notes_of_time_there_is_none(told):
    search = told()
    search.tell(search.ask("0000", search.values(0), 3), 3)
    history = read_history(search.records)
    assert history.seconds is None
    assert history.steps[0].seconds is None


def test_trials_told_after_the_last_note_have_its_time(random_search):
    search = random_search(4)
    search.tell(search.ask("0004", search.values(4), None), 9)
    assert read_history(search.records).steps[-1].seconds == 40


def test_the_best_is_the_best_of_those_trained_longest(told):
    search = told()
    search.tell(search.ask("0000", {**search.values(0), "rate": 1e-3}, 1), 1)
    search.tell(search.ask("0001", {**search.values(0), "rate": 1e-4}, 9), 9)
    search.tell(search.ask("0002", {**search.values(0), "rate": 2e-4}, 9), 9)
    history = read_history(search.records)
    assert history.best.root == "0002"
    assert history.baseline.root == "0000"


def test_epochs_in_parts_are_fractions_of_the_first_epoch(told):
    """Budgets are counted in thirds then: one, three (an epoch), nine (three epochs)."""
    search = told()
    parent = None
    for trial, budget, points in (("0000", 1, 1), ("0001", 3, 3), ("0002", 9, 5)):
        more = {"root": "0000", "continues": parent, "initial_epoch": {"0001": 1, "0002": 3}.get(trial, 0)}
        spec = search.ask(trial, search.values(0), budget, **more)
        search.tell(spec, points)
        for entry, epoch in zip(search.records[-1]["result"]["curve"], (1 / 3, 2 / 3, 1, 2, 3), strict=False):
            entry["epoch"] = epoch
        parent = trial
    history = read_history(search.records, slices=3)
    assert [round(trial.epochs, 3) for trial in history.trials] == [0.333, 1, 3]
    assert [step.epochs for step in history.steps] == [0.3333, 1, 3]
    (entry,) = history.configurations
    assert entry.epochs == 3
    # 2 s for each point that a trial added: one, two and two.
    assert [trial.seconds for trial in history.trials] == [2, 4, 4]
    assert chart_data(history, (), ())["epochs"] == [0.3333, 0.6667, 1, 2, 3]


def test_a_training_that_stopped_by_itself_counts_at_the_budget_it_was_meant_for(told):
    search = told()
    search.tell(search.ask("0000", search.values(0), 9), 4)
    search.tell(search.ask("0001", search.values(1), 3), 3)
    stopped, short = read_history(search.records).configurations
    assert stopped.score_after(9) == stopped.score
    assert short.score_after(9) is None


def test_failed_and_running_trials_are_told_apart(told):
    search = told()
    search.fail(search.ask("0000", search.values(0), 1), "out of memory")
    search.ask("0001", search.values(1), 1)
    history = read_history(search.records)
    assert [trial.trial_id for trial in history.failed] == ["0000"]
    assert history.failed[0].failure.message == "out of memory"
    assert [trial.trial_id for trial in history.running] == ["0001"]
    assert [entry.score for entry in history.configurations] == [None]
    assert history.best is None


def test_a_score_at_a_budget_looks_no_further(told):
    search = told()
    search.tell(search.ask("0000", search.values(0), 9), 9)
    entry = read_history(search.records).configurations[0]
    assert entry.score_after(3) == max(point.score for point in entry.curve[:3])
    assert entry.score_after(10) is None


def test_the_space_is_read_with_its_kinds_and_short_ranges_value_by_value(told):
    found = {entry.name: entry for entry in read_history(told().records).parameters}
    assert (found["rate"].kind, found["rate"].log) == ("number", True)
    assert found["blocks"].choices == (2, 3, 4, 5)
    assert found["norm"].choices == (False, True)
    assert not found["flip"].varies
    assert found["units"].place(128) == 1
    assert found["units"].place(None) is None


def test_steps_of_a_float_are_found_again(told):
    search = told()
    config = {"name": "share", "min_value": 0.0, "max_value": 0.5, "step": 0.1, "sampling": "linear"}
    search.records[1]["result"]["space"].append({"class_name": "Float", "config": config})
    found = next(entry for entry in read_history(search.records).parameters if entry.name == "share")
    assert found.choices == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert found.place(0.1 + 0.2) == 3


def test_a_hyperparameter_that_a_trial_found_later_is_known(told):
    search = told()
    search.tell(search.ask("0000", search.values(0), 1), 1)
    entry = {"class_name": "Choice", "config": {"name": "late", "values": [1, 2]}}
    search.records[-1]["result"]["space"] = [entry, {"class_name": "Choice", "config": {"name": "late", "values": [3]}}]
    assert read_history(search.records).parameters[-1].choices == (1, 2, 3)


def test_values_that_are_not_finite_are_gaps(told):
    search = told()
    search.tell(search.ask("0000", search.values(0), 3), 3)
    search.records[-1]["result"]["curve"][1]["val_loss"] = None
    curve = read_history(search.records).configurations[0].curve
    assert [point.loss is None for point in curve] == [False, True, False]


def test_rungs_hold_their_trials_in_each_bracket(hyperband, random_search):
    history = read_history(hyperband().records)
    shapes = [[(rung["epochs"], len(rung["trials"])) for rung in entry["rungs"]] for entry in brackets(history)]
    assert shapes == [[(1, 9), (3, 3), (9, 1)], [(3, 5), (9, 1)], [(9, 3)]]
    assert brackets(read_history(random_search().records)) == []


def test_the_final_runs_are_known_by_what_became_of_them(random_search):
    search = random_search(2)
    for run_id in ("done", "failed", "open"):
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="finalist")
    for run_id, result in (("done", {}), ("failed", {"error": {"kind": "crash", "message": "gone"}})):
        fence = search.add("attempt", key=f"final/{run_id}", epoch=0)
        search.add("result", key=f"final/{run_id}", fence=fence, result=result)
    search.add("published", key="final/done", run_id="done")
    found = read_history(search.records).finals
    assert [(run.run_id, run.done, run.published, run.error is None) for run in found] == [
        ("done", True, True, True),
        ("failed", True, False, False),
        ("open", False, False, True),
    ]


@pytest.mark.parametrize(("epochs", "stride"), [(9, 1), (40_000, 2)])
def test_long_curves_are_thinned_and_keep_their_last_epoch(told, epochs, stride):
    search = told(max_epochs=epochs)
    for number in range(6):
        spec = TrialSpec(f"{number:04d}", search.values(number), None, root=f"{number:04d}")
        search.add("ask", trial=spec.to_json())
        fence = search.add("attempt", key=f"trial/{spec.trial_id}", epoch=0)
        curve = [{"val_f1_macro": n / epochs, "val_loss": 1.0} for n in range(epochs)]
        result = {"trial_id": spec.trial_id, "status": "COMPLETED", "score": 1.0, "curve": curve, "seconds": []}
        result |= {"failure": None, "space": []}
        search.add("result", key=f"trial/{spec.trial_id}", fence=fence, result=result)
    data = chart_data(read_history(search.records), (), ())
    assert data["stride"] == stride
    shown = data["configurations"][0]
    assert shown["epochs"] == epochs
    assert shown["curve"][-1] == round((epochs - 1) / epochs, 4)
    assert sum(len(entry["curve"]) for entry in data["configurations"]) <= 120_006
