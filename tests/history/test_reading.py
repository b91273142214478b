"""A journal's records become trials, configurations, rungs and times."""

from __future__ import annotations

from tuning.history.status import status_of


def test_a_trial_and_its_promotions_are_one_configuration(hyperband):
    history = hyperband().history()
    assert len(history.trials) == 9 + 3 + 1 + 5 + 1 + 3
    assert len(history.configurations) == 9 + 5 + 3
    longest = max(history.configurations, key=lambda entry: len(entry.trials))
    assert [trial.epochs for trial in longest.trials] == [1, 3, 9]
    assert len(longest.curve) == 9
    # The worker counts seconds from the first epoch of the configuration; each epoch is counted once all the same.
    assert longest.seconds == 18
    assert [trial.new_epochs for trial in longest.trials] == [1, 2, 6]
    assert history.epochs == sum(len(entry.curve) for entry in history.configurations)


def test_best_so_far_rises_and_counts_everything_once(hyperband):
    search = hyperband()
    history = search.history()
    best = [step.best for step in history.steps]
    assert best == sorted(best)
    assert best[-1] == max(trial.score for trial in history.trials if trial.score is not None)
    assert [step.trials for step in history.steps] == list(range(1, 23))
    assert [step.score is None for step in history.steps].count(True) == len(history.failed) == 2


def test_trials_between_two_notes_of_time_share_the_interval(random_search):
    history = random_search(4).history()
    assert [step.seconds for step in history.steps] == [10, 20, 30, 40]
    assert history.seconds == 40


def test_without_notes_of_time_there_is_none(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 3), 3)
    history = search.history()
    assert history.seconds is None
    assert history.steps[0].seconds is None


def test_trials_told_after_the_last_note_have_its_time(random_search):
    search = random_search(4)
    search.tell(search.ask("0004", search.values(4), None), 9)
    assert search.history().steps[-1].seconds == 40


def test_the_best_is_the_best_of_those_trained_longest(new_search):
    search = new_search()
    search.tell(search.ask("0000", {**search.values(0), "rate": 1e-3}, 1), 1)
    search.tell(search.ask("0001", {**search.values(0), "rate": 1e-4}, 9), 9)
    search.tell(search.ask("0002", {**search.values(0), "rate": 2e-4}, 9), 9)
    history = search.history()
    assert history.best.root == "0002"
    assert history.baseline.root == "0000"


def test_epochs_in_parts_are_fractions_of_the_first_epoch(new_search):
    """Budgets are counted in thirds then: one, three (an epoch), nine (three epochs)."""
    search = new_search()
    parent = None
    for trial, budget, points in (("0000", 1, 1), ("0001", 3, 3), ("0002", 9, 5)):
        more = {"root": "0000", "continues": parent, "initial_epoch": {"0001": 1, "0002": 3}.get(trial, 0)}
        spec = search.ask(trial, search.values(0), budget, **more)
        search.tell(spec, points)
        for entry, epoch in zip(search.records[-1]["result"]["curve"], (1 / 3, 2 / 3, 1, 2, 3), strict=False):
            entry["epoch"] = epoch
        parent = trial
    history = search.history(slices=3)
    assert [round(trial.epochs, 3) for trial in history.trials] == [0.333, 1, 3]
    assert [step.epochs for step in history.steps] == [0.3333, 1, 3]
    (entry,) = history.configurations
    assert entry.epochs == 3
    # 2 s for each point that a trial added: one, two and two.
    assert [trial.seconds for trial in history.trials] == [2, 4, 4]


def test_a_training_that_stopped_by_itself_counts_at_the_budget_it_was_meant_for(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 9), 4)
    search.tell(search.ask("0001", search.values(1), 3), 3)
    stopped, short = search.history().configurations
    assert stopped.score_after(9) == stopped.score
    assert short.score_after(9) is None


def test_failed_and_running_trials_are_told_apart(new_search):
    search = new_search()
    search.fail(search.ask("0000", search.values(0), 1), "out of memory")
    search.ask("0001", search.values(1), 1)
    history = search.history()
    assert [trial.trial_id for trial in history.failed] == ["0000"]
    assert history.failed[0].failure.message == "out of memory"
    assert [trial.trial_id for trial in history.running] == ["0001"]
    assert [entry.score for entry in history.configurations] == [None]
    assert history.best is None


def test_a_score_at_a_budget_looks_no_further(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 9), 9)
    entry = search.history().configurations[0]
    assert entry.score_after(3) == max(point.score for point in entry.curve[:3])
    assert entry.score_after(10) is None


def test_the_space_is_read_with_its_kinds_and_short_ranges_value_by_value(new_search):
    found = {entry.name: entry for entry in new_search().history().parameters}
    assert (found["rate"].kind, found["rate"].log) == ("number", True)
    assert found["blocks"].choices == (2, 3, 4, 5)
    assert found["norm"].choices == (False, True)
    assert not found["flip"].varies
    assert found["units"].place(128) == 1
    assert found["units"].place(None) is None


def test_steps_of_a_float_are_found_again(new_search):
    search = new_search()
    config = {"name": "share", "min_value": 0.0, "max_value": 0.5, "step": 0.1, "sampling": "linear"}
    search.records[1]["result"]["space"].append({"class_name": "Float", "config": config})
    found = next(entry for entry in search.history().parameters if entry.name == "share")
    assert found.choices == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert found.place(0.1 + 0.2) == 3


def test_a_hyperparameter_that_a_trial_found_later_is_known(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 1), 1)
    entry = {"class_name": "Choice", "config": {"name": "late", "values": [1, 2]}}
    search.records[-1]["result"]["space"] = [entry, {"class_name": "Choice", "config": {"name": "late", "values": [3]}}]
    assert search.history().parameters[-1].choices == (1, 2, 3)


def test_what_trials_had_outside_of_a_range_or_between_its_steps_has_its_place(new_search):
    """Keras Tuner takes any default."""
    search = new_search()
    decay = {"name": "decay", "min_value": 1e-6, "max_value": 1e-2, "step": None, "sampling": "log", "default": 0}
    width = {"name": "wide", "min_value": 16, "max_value": 128, "step": 32, "sampling": "linear", "default": 64}
    search.records[1]["result"]["space"] += [{"class_name": "Float", "config": decay}]
    search.records[1]["result"]["space"] += [{"class_name": "Int", "config": width}]
    search.tell(search.ask("0000", {**search.values(0), "decay": 0, "wide": 64, "rate": 0.5}, 1), 1)
    search.tell(search.ask("0001", {**search.values(1), "decay": 1e-3, "wide": 48}, 1), 1)
    found = {entry.name: entry for entry in search.history().parameters}
    assert (found["decay"].low, found["decay"].high, found["decay"].log) == (0, 1e-2, False)
    assert found["wide"].choices == (16, 48, 64, 80, 112)
    assert found["rate"].high == 0.5 and found["rate"].log


def test_one_name_for_a_number_and_for_words_is_a_choice_of_what_trials_had(new_search):
    search = new_search()
    number = {"name": "momentum", "min_value": 0.5, "max_value": 0.9, "step": None, "sampling": "linear"}
    search.records[1]["result"]["space"] += [{"class_name": "Float", "config": number}]
    search.records[1]["result"]["space"] += [
        {"class_name": "Choice", "config": {"name": "momentum", "values": ["none", "nesterov"]}}
    ]
    for trial, value in enumerate([0.7, "nesterov", 0.6]):
        search.tell(search.ask(f"000{trial}", {**search.values(trial), "momentum": value}, 1), 1)
    (found,) = (entry for entry in search.history().parameters if entry.name == "momentum")
    assert [found.place(value) for value in (0.7, "nesterov", 0.6, 0.55)] == [0, 1, 2, None]


def test_values_that_are_not_finite_are_gaps(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 3), 3)
    search.records[-1]["result"]["curve"][1]["val_loss"] = None
    curve = search.history().configurations[0].curve
    assert [point.loss is None for point in curve] == [False, True, False]


def test_the_final_runs_are_known_by_what_became_of_them(random_search):
    search = random_search(2)
    for run_id in ("done", "failed", "open"):
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="finalist")
    for run_id, result in (("done", {}), ("failed", {"error": {"kind": "crash", "message": "gone"}})):
        fence = search.add("attempt", key=f"final/{run_id}", epoch=0)
        search.add("result", key=f"final/{run_id}", fence=fence, result=result)
    search.add("published", key="final/done", run_id="done")
    found = search.history().finals
    assert [(run.run_id, run.done, run.published, run.error) for run in found] == [
        ("done", True, True, None),
        ("failed", True, False, "gone"),
        ("open", False, False, None),
    ]


def test_a_final_run_that_was_left_out_is_not_waited_for(random_search):
    search = random_search(2)
    for run_id in ("cut", "left-out"):
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="finalist")
        search.add("attempt", key=f"final/{run_id}", epoch=0)
    cut = [{"run_id": "cut", "after": 3, "until": 5}, {"run_id": "left-out", "after": 0, "until": 0}]
    search.add("shortened-finals", runs=cut)
    search.add("test-unopened", key="final/left-out", run_id="left-out")
    # Nor one that was given up for what a larger budget planned, be it that a kill came while it was being evaluated.
    for run_id in ("given-up", "evaluated"):
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="finalist")
    search.add("test-unopened", key="final/given-up", run_id="given-up")
    for run_id in ("given-up", "evaluated"):
        search.add("withdrawn", key=f"final/{run_id}", run_id=run_id)
    history = search.history()
    assert [run.run_id for run in history.finals] == ["cut"]
    assert len(history.test_evaluations) == 2
    search.add("published", key="final/cut", run_id="cut")
    assert status_of(search.history(), alive=False) == "finished"
