from __future__ import annotations

import pytest

from tuning.core.records import WAIT, configuration
from tuning.oracles.rungs import brackets


def sizes(asked) -> dict:
    rounds = [(spec.values["tuner/bracket"], spec.values["tuner/round"], spec.epochs) for spec in asked]
    return {key: rounds.count(key) for key in rounds}


@pytest.mark.parametrize(("max_epochs", "factor"), [(81, 3), (27, 3), (16, 4), (50, 3)])
@pytest.mark.parametrize("window", [1, 64])
def test_the_whole_schedule_is_asked_for(max_epochs, factor, window, simulated):
    asked = simulated.drive(
        simulated.build("hyperband", sampler="random", max_epochs=max_epochs, factor=factor), window
    )
    planned = {
        (bracket.number, round_number, rung.epochs): rung.size
        for bracket in brackets(max_epochs, factor)
        for round_number, rung in enumerate(bracket.rungs)
    }
    assert sizes(asked) == planned


def test_promotions_continue_the_best_of_the_rung_below(simulated):
    asked = simulated.drive(simulated.build("hyperband", sampler="random"), window=64)
    specs = {spec.trial_id: spec for spec in asked}
    for spec in asked:
        if spec.continues is None:
            assert (spec.initial_epoch, spec.root) == (0, spec.trial_id)
            continue
        parent = specs[spec.continues]
        assert configuration(spec.values) == configuration(parent.values)
        assert (spec.initial_epoch, spec.root) == (parent.epochs, parent.root)
        assert spec.values["tuner/trial_id"] == parent.trial_id
    first_rung = [s for s in asked if (s.values["tuner/bracket"], s.values["tuner/round"]) == (2, 0)]
    best = sorted(first_rung, key=lambda s: -simulated.completed(s).score)[:3]
    promoted = [s.continues for s in asked if (s.values["tuner/bracket"], s.values["tuner/round"]) == (2, 1)]
    assert promoted == [spec.trial_id for spec in best]


def test_the_brackets_run_beside_each_other_while_a_rung_is_not_whole(simulated):
    search = simulated.build("hyperband", sampler="random")
    asked = []
    while (answer := search.ask()) is not WAIT:
        asked.append(answer)
    assert sizes(asked) == {(2, 0, 1): 9, (1, 0, 3): 5, (0, 0, 9): 3}
    assert search.ask() is WAIT


def test_failed_trials_free_their_slots(simulated):
    def outcome_of(spec):
        bad = (int(spec.trial_id) < 4) or (spec.values["tuner/round"] == 1 and spec.values["tuner/bracket"] == 2)
        return (simulated.failed if bad and len(seen) < 6 and not seen.append(spec) else simulated.completed)(spec)

    seen = []
    asked = simulated.drive(simulated.build("hyperband", sampler="random"), window=1, outcome_of=outcome_of)
    assert sizes(asked)[2, 0, 1] == 9 + 4
    assert sizes(asked)[2, 1, 3] == 3 + 2
    assert sizes(asked)[2, 2, 9] == 1


def test_a_cap_still_reaches_max_epochs_when_trials_fail(simulated):
    def outcome_of(spec):
        bad = spec.continues is None and int(spec.trial_id) % 3 == 0
        return (simulated.failed if bad else simulated.completed)(spec)

    for cap in range(4, 30):
        search = simulated.build("hyperband", sampler="random", max_epochs=27, max_trials=cap)
        asked = simulated.drive(search, outcome_of=outcome_of)
        assert len(asked) <= cap
        assert search.oracle.get_best_trials()[0].hyperparameters.values["tuner/epochs"] == 27


def test_iterations(simulated):
    once = simulated.drive(simulated.build("hyperband", sampler="random"))
    twice = simulated.drive(simulated.build("hyperband", sampler="random", iterations=2), window=64)
    assert len(twice) == 2 * len(once)
    endless = simulated.build("hyperband", sampler="random", iterations=None)
    asked = [endless.ask() for _ in range(200)]
    assert len({spec.trial_id for spec in asked}) == 200


def test_endless_brackets_end_where_configurations_do(simulated):
    asked = simulated.drive(
        simulated.build("hyperband", simulated.five_points(), sampler="random", iterations=None), window=64
    )
    assert sum(spec.continues is None for spec in asked) == 5
    assert asked[-1].epochs == 9


def test_a_longer_first_rung(simulated):
    asked = simulated.drive(simulated.build("hyperband", sampler="random", max_epochs=27, min_epochs=3))
    assert min(spec.epochs for spec in asked) == 3


def test_waiting_changes_nothing(simulated):
    simulated.ask_in_vain(lambda: simulated.build("hyperband", sampler="random"))
