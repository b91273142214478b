from __future__ import annotations

import json
import math

import keras_tuner
import numpy as np
import pytest

from tuning.core.records import COMPLETED, TrialOutcome, configuration, keyed_seed
from tuning.oracles import STRATEGIES, flatness
from tuning.oracles.adapter import OracleSearch
from tuning.oracles.asha import AshaOracle

ABLE = [name for name, row in STRATEGIES.items() if "stop_when_flat" in row.options]
#: Deviation of the noise of a score.
NOISE = 0.05


def noisy(simulated):
    """Scores that another seed would change."""

    def outcome_of(spec):
        draw = keyed_seed(1, spec.root) / 2**31 + keyed_seed(2, spec.root) / 2**31 - 1  # triangular
        shift = NOISE * math.sqrt(6) * draw
        curve = tuple(
            {"epoch": epoch, "objective": simulated.value_of(spec.values, epoch) + shift}
            for epoch in range(1, spec.epochs + 1)
        )
        return TrialOutcome(spec.trial_id, COMPLETED, curve[-1]["objective"], curve)

    return outcome_of


def test_the_bound_is_two_deviations_above_the_best_known():
    assert flatness.bound(np.array([0.5, 0.4]), np.array([0.01, 0.1]), 0.55) == pytest.approx(0.05)


def test_it_counts_proposals_in_a_row_and_not_before_there_are_enough_trials():
    enough = flatness.LEAST_TRIALS
    assert flatness.counted(1, (0.1, 0.2), enough) == 2
    assert flatness.counted(1, (0.2, 0.2), enough) == 0
    assert flatness.counted(1, (0.1, 0.2), enough - 1) == 0
    assert flatness.counted(1, None, enough) == 1


@pytest.mark.parametrize("name", ABLE)
class TestStrategies:
    def test_it_ends_before_the_last_trial_without_losing_much(self, name, simulated):
        settings = {"max_trials": 60, "seed": 3}
        search = simulated.build(name, stop_when_flat=True, **settings)
        asked = simulated.drive(search, window=2, outcome_of=noisy(simulated))
        assert flatness.LEAST_TRIALS < len(asked) < 60
        assert search.flat
        whole = simulated.build(name, **settings)
        everything = simulated.drive(whole, window=2, outcome_of=noisy(simulated))
        assert not whole.flat
        # The same search, but for its end and for the count.
        same = [s.values for s in everything[: len(asked) - 1]]
        assert [{k: v for k, v in s.values.items() if k != flatness.FLAT} for s in asked[:-1]] == same
        found, best = (
            max(simulated.value_of(spec.values, 9) for spec in specs if spec.epochs == 9)
            for specs in (asked, everything)
        )
        assert found > best - 2 * NOISE

    def test_stopped_and_replayed_it_ends_where_it_would_have(self, name, simulated):
        def build():
            return simulated.build(name, stop_when_flat=True, max_trials=60, seed=3)

        asked = simulated.drive(build(), window=1, outcome_of=noisy(simulated))
        for cut in (len(asked) - 2, len(asked) - 1):
            again = build()
            for spec in asked[:cut]:
                assert again.ask(spec) == spec
                again.tell(noisy(simulated)(spec))
            copy = build()
            copy.oracle.set_state(json.loads(json.dumps(again.oracle.get_state())))
            for search in (again, copy):
                assert simulated.drive(search, window=1, outcome_of=noisy(simulated)) == asked[cut:]
                assert search.flat


class Doubtful(AshaOracle):
    """Expects nothing of any proposal from the twentieth trial on."""

    def decide(self, number):
        self.promise = (0.0 if number >= 20 else 1.0, 0.1)
        return super().decide(number)


@pytest.mark.parametrize("window", [1, 5])
def test_short_trainings_end_with_the_best_of_them_trained_to_the_end(simulated, window):
    objective = keras_tuner.Objective("objective", "max")

    def build():
        oracle = Doubtful(
            objective, hyperparameters=simulated.mixed_space(), max_epochs=9, iterations=50, stop_when_flat=True
        )
        return OracleSearch(oracle)

    search = build()
    asked = simulated.drive(search, window)
    assert len(asked) == 20 + flatness.IN_A_ROW + 1
    assert [spec.values[flatness.FLAT] for spec in asked[19:]] == [0, 1, 2, 3, 3]
    assert asked[-1].epochs == 9
    again = build()
    for spec in asked:
        assert again.ask(spec) == spec
        again.tell(simulated.completed(spec))
    assert again.flat
    assert simulated.drive(again, window) == []

    # The last training fails: the next best takes its place.
    search = build()
    last = asked[-1].trial_id
    more = simulated.drive(
        search, window, lambda spec: (simulated.failed if spec.trial_id == last else simulated.completed)(spec)
    )
    assert more[:-1] == asked
    assert more[-1].epochs == 9
    assert configuration(more[-1].values) != configuration(asked[-1].values)


def test_the_count_is_no_part_of_a_configuration(simulated):
    search = simulated.build("bayesian", stop_when_flat=True, max_trials=30)
    asked = simulated.drive(search)
    assert all(flatness.FLAT in spec.values for spec in asked)
    assert all(flatness.FLAT not in configuration(spec.values) for spec in asked)
    assert all(flatness.FLAT not in spec.values for spec in simulated.drive(simulated.build("bayesian", max_trials=12)))
