"""What strategies that continue short trainings take for the end of a training."""

from __future__ import annotations

import keras_tuner
import msgspec
import pytest

from tuning.oracles.base import EPOCHS, INITIAL_EPOCH

# Keras Tuner would rather have the scores returned.
pytestmark = pytest.mark.filterwarnings("ignore:The use case of calling:DeprecationWarning")

PROMOTING = ["hyperband"]


class BestEpochTuner(keras_tuner.Tuner):
    """Tells one step of a training, the best one, counted from 0: what Keras Tuner makes of a `History`."""

    def __init__(self, simulated, oracle, directory):
        oracle.verbose = 0
        self.simulated = simulated
        super().__init__(oracle=oracle, directory=str(directory), project_name="project")

    def run_trial(self, trial, *args, **kwargs):
        values = trial.hyperparameters.values
        step = values[EPOCHS] - values[INITIAL_EPOCH] - 1
        self.oracle.update_trial(
            trial.trial_id, {"objective": self.simulated.value_of(values, values[EPOCHS])}, step=step
        )


@pytest.mark.parametrize("name", PROMOTING)
def test_a_plain_tuner_s_best_epoch_is_no_early_end(name, simulated, tmp_path):
    oracle = simulated.build(name, max_epochs=27).oracle
    BestEpochTuner(simulated, oracle, tmp_path).search(verbose=0)
    assert [each for each in oracle.configurations if each.over and oracle.levels[each.rung] < 27] == []


@pytest.mark.parametrize("name", PROMOTING)
def test_a_training_that_ended_by_itself_is_not_gone_on_with(name, simulated):
    def outcome_of(spec):
        outcome = simulated.completed(spec)
        if int(spec.trial_id) % 2 and spec.epochs > 1:
            return msgspec.structs.replace(outcome, curve=outcome.curve[:-1])
        return outcome

    search = simulated.build(name, max_epochs=9)
    asked = simulated.drive(search, window=1, outcome_of=outcome_of)
    ended = {spec.trial_id for spec in asked if int(spec.trial_id) % 2 and spec.epochs > 1}
    assert ended == search.oracle.complete != set()
    assert not ended & {spec.continues for spec in asked}
    copy = simulated.build(name, max_epochs=9).oracle
    copy.set_state(search.oracle.get_state())
    assert copy.complete == ended
    assert [each.over for each in copy.configurations] == [each.over for each in search.oracle.configurations]


@pytest.mark.parametrize("limit", [({"max_trials": 8}, {"max_trials": 12}), ({"iterations": 1}, {"iterations": 2})])
@pytest.mark.parametrize("name", PROMOTING)
def test_a_project_that_is_opened_with_a_larger_limit_goes_on(name, limit, simulated):
    """As Keras Tuner's users do with `max_trials`; with the same limit it stays at its end."""
    small, large = limit
    search = simulated.build(name, **small)
    asked = simulated.drive(search)
    for again, more in ((small, False), (large, True)):
        copy = simulated.build(name, **again)
        copy.oracle.set_state(search.oracle.get_state())
        further = simulated.drive(copy)
        assert bool(further) is more
        assert not more or further[-1].epochs == 9
        assert len(asked) + len(further) <= again.get("max_trials", 1000)


@pytest.mark.parametrize("name", PROMOTING)
@pytest.mark.parametrize("limit", [{}, {"iterations": 2}, {"max_trials": 12}, {"iterations": None}])
def test_the_limit_is_known_beforehand_and_nearly_used_up(name, limit, simulated):
    search = simulated.build(name, max_epochs=9, **limit)
    trials, epochs = search.oracle.planned()
    if limit == {"iterations": None}:
        assert (trials, epochs) == (None, None)
        return
    asked = simulated.drive(search)
    spent = sum(spec.epochs - spec.initial_epoch for spec in asked)
    assert trials == limit.get("max_trials")
    assert len(asked) == trials if trials else epochs - 9 < spent <= epochs


@pytest.mark.parametrize("iterations", [1, 3])
def test_where_the_shortest_training_is_a_whole_one_no_more_than_planned_are_trained(iterations, simulated):
    search = simulated.build("hyperband", max_epochs=5, min_epochs=5, iterations=iterations)
    asked = simulated.drive(search, window=1)
    assert sum(spec.epochs for spec in asked) == search.oracle.planned()[1]


def test_a_last_training_that_failed_is_made_up_for_where_none_was_whole(simulated):
    search = simulated.build("hyperband", max_epochs=5, min_epochs=5)
    asked = simulated.drive(
        search, 1, lambda spec: getattr(simulated, "completed" if spec.trial_id > "0000" else "failed")(spec)
    )
    assert [spec.epochs for spec in asked] == [5, 5]
