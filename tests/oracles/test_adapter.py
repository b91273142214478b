from __future__ import annotations

import msgspec
import pytest

from tuning.core.errors import StateError
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec
from tuning.oracles.adapter import OracleSearch


def test_the_score_is_the_best_of_the_whole_curve(simulated):
    search = simulated.build("random")
    spec = search.ask()
    curve = ({"epoch": 1, "objective": 0.2}, {"epoch": 2, "objective": 0.6}, {"epoch": 3, "objective": 0.4})
    search.tell(TrialOutcome(spec.trial_id, COMPLETED, 0.6, curve))
    trial = search.oracle.get_trial(spec.trial_id)
    assert (trial.score, trial.best_step) == (0.6, 2)


def test_epochs_without_the_objective_are_passed_over(simulated):
    search = simulated.build("random")
    spec = search.ask()
    curve = ({"epoch": 1, "loss": 0.2}, {"epoch": 2, "objective": None}, {"epoch": 3, "objective": 0.4})
    search.tell(TrialOutcome(spec.trial_id, COMPLETED, 0.4, curve))
    assert search.oracle.get_trial(spec.trial_id).score == 0.4


def test_a_score_without_a_curve_counts(simulated):
    search = simulated.build("random")
    spec = search.ask()
    search.tell(TrialOutcome(spec.trial_id, COMPLETED, 0.3))
    trial = search.oracle.get_trial(spec.trial_id)
    assert (trial.score, trial.best_step) == (0.3, spec.epochs)


def test_the_reason_of_a_failure_is_kept(simulated):
    search = simulated.build("random")
    search.tell(simulated.failed(search.ask()))
    assert search.oracle.get_trial("0000").message == "killed by SIGSEGV"


def test_entries_that_a_builder_declared_are_tuned_from_then_on(simulated):
    search = simulated.build("random", simulated.five_points())
    spec = search.ask()
    entries = ({"class_name": "Int", "config": dict(name="new", default=4, conditions=[], min_value=1, max_value=9)},)
    before = str(entries)
    search.tell(TrialOutcome(spec.trial_id, COMPLETED, 0.3, space=entries))
    assert search.oracle.get_trial(spec.trial_id).hyperparameters.values["new"] == 4
    assert "new" in search.ask().values
    assert str(entries) == before


@pytest.mark.parametrize("trial_id", ["0000", "0007"])
def test_a_result_of_a_trial_that_does_not_run_is_refused(trial_id, simulated):
    search = simulated.build("random")
    search.tell(simulated.completed(search.ask()))
    with pytest.raises(StateError, match=trial_id):
        search.tell(TrialOutcome(trial_id, COMPLETED, 0.3))


def test_the_oracle_answers_for_all_but_the_configuration_of_a_record(simulated):
    search = simulated.build("hyperband", sampler="random")
    recorded = TrialSpec("0000", {"rate": 0.1, "tuner/epochs": 5}, epochs=5, root="0000")
    answer = search.ask(recorded)
    assert answer != recorded
    assert answer.epochs == answer.values["tuner/epochs"] == 1
    assert search.oracle.recorded is None


def test_an_oracle_that_waits_for_nothing_is_a_defect(simulated):
    search = simulated.build("random")
    search.oracle.populate_space = lambda trial_id: {"status": "IDLE"}
    with pytest.raises(RuntimeError, match="no trial is outstanding"):
        OracleSearch(search.oracle).ask()


def test_parts_of_an_epoch_are_what_the_oracle_counts(simulated):
    oracle = simulated.build("hyperband", sampler="random", max_epochs=9).oracle
    search = OracleSearch(oracle, parts=3)
    spec = search.ask()
    assert spec.epochs == 1
    curve = tuple({"epoch": epoch, "objective": 0.1} for epoch in (1 / 3, 2 / 3, 1, 2, 3))
    search.tell(msgspec.structs.replace(simulated.completed(spec), curve=curve))
    history = oracle.get_trial(spec.trial_id).metrics.get_history("objective")
    assert sorted(observation.step for observation in history) == [1, 2, 3, 6, 9]
