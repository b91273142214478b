"""What freeze-thaw does beyond the contract of every strategy."""

from __future__ import annotations

import math

import msgspec
import pytest

from tuning.core.records import COMPLETED, TrialOutcome, keyed_seed
from tuning.oracles import curve_model, freeze_thaw
from tuning.oracles.acquisition import expected_improvement
from tuning.oracles.cost_model import FIXED


def spent(asked):
    return sum(spec.epochs - spec.initial_epoch for spec in asked)


def test_a_training_past_several_rungs_is_seen_at_each(simulated):
    search = simulated.build("freeze_thaw", max_trials=60)
    asked = simulated.drive(search, window=1)
    oracle = search.oracle
    assert any(spec.initial_epoch == 0 and spec.epochs > 1 for spec in asked[: -curve_model.DESIGN])
    for chain in oracle.chains:
        rungs = [rung for number, rung, _ in oracle._scores if number == chain.number]
        assert rungs == list(range(chain.rung + 1))
    for number, rung, score in oracle._scores:
        values = oracle.values_of(oracle.chains[number])
        assert score == pytest.approx(simulated.value_of(values, oracle.levels[rung]))


def test_where_only_the_last_score_is_told_that_is_what_it_goes_by(simulated):
    def last_alone(spec):
        done = simulated.completed(spec)
        return TrialOutcome(spec.trial_id, COMPLETED, done.score, done.curve[-1:])

    search = simulated.build("freeze_thaw", max_trials=40)
    asked = simulated.drive(search, window=1, outcome_of=last_alone)
    assert len(asked) == 40
    assert len(search.oracle._scores) <= 40


@pytest.mark.parametrize("window", [1, 8])
def test_it_finds_better_than_chance_with_the_same_epochs(simulated, window):
    def found(name, **settings):
        values = []
        for seed in range(3):
            search = simulated.build(name, seed=seed, **settings)
            asked = simulated.drive(search, window)
            best = search.oracle.get_trial(search.oracle.recommended()).hyperparameters.values
            values.append((simulated.value_of(best, 9), spent(asked)))
        return [sum(column) / 3 for column in zip(*values, strict=True)]

    ours, epochs = found("freeze_thaw", iterations=3)
    chance, more = found("random", max_trials=round(epochs / 9) + 1)
    assert more > epochs
    assert ours > chance + 0.02


def test_with_many_pending_trainings_go_on_by_halving_and_never_several_rungs_at_once(simulated):
    window = freeze_thaw.MANY + 4
    search = simulated.build("freeze_thaw", iterations=4)
    asked = simulated.drive(search, window=window)
    levels = search.oracle.levels
    # The last ones are asked for with fewer pending; whole trainings have their share in any case.
    gone_on = [spec for spec in asked[:-window] if spec.initial_epoch and spec.epochs < levels[-1]]
    assert len(gone_on) > 5
    for spec in gone_on:
        assert levels.index(spec.epochs) == levels.index(spec.initial_epoch) + 1


def test_trainings_begin_where_scores_tell_of_the_last_ones(simulated):
    """Where those of the first rungs are chance, new configurations soon begin further up, and nowhere else."""

    def begun(chance):
        def outcome(spec):
            curve = [dict(row) for row in simulated.completed(spec).curve]
            for row in curve[:chance]:
                row["objective"] = 0.02 * keyed_seed(0, spec.root, row["epoch"]) / 2**31
            return TrialOutcome(spec.trial_id, COMPLETED, max(row["objective"] for row in curve), tuple(curve))

        search = simulated.build("freeze_thaw", max_trials=120, max_epochs=27)
        asked = simulated.drive(search, freeze_thaw.MANY + 4, outcome)
        firsts = [spec.epochs for spec in asked[60:] if spec.initial_epoch == 0]
        return sum(epochs > 1 for epochs in firsts) / len(firsts)

    assert begun(chance=0) < 0.2
    assert begun(chance=3) > 0.8


@pytest.mark.parametrize("name", ["freeze_thaw", "bohb"])
def test_what_an_epoch_costs_is_foreseen_from_costs_that_were_told(simulated, name):
    def cost(spec):
        return 1e6 * 2.0 ** (spec.values["width"] / 16)

    def counted(spec):
        done = simulated.completed(spec)
        return TrialOutcome(spec.trial_id, COMPLETED, done.score, done.curve, cost=cost(spec))

    search = simulated.build(name, iterations=3)
    asked = simulated.drive(search, window=4, outcome_of=counted)
    # Nothing is known before the first one is told; then, in units of it, more and more.
    assert [spec.cost for spec in asked[:4]] == [None] * 4
    assert all(spec.cost > 0 for spec in asked[4:])
    off = []
    for spec in asked[4:]:
        true = FIXED + (1 - FIXED) * cost(spec) / cost(asked[0])
        if spec.initial_epoch:
            assert spec.cost == pytest.approx(true, rel=0.01)
        else:
            off.append(abs(math.log(spec.cost / true)))
    assert sorted(off[len(off) // 2 :])[len(off) // 4] < math.log(1.25)
    again = simulated.drive(simulated.build(name, iterations=3), window=4, outcome_of=counted)
    assert again == asked


def test_a_recorded_cost_is_taken_and_not_computed_again(simulated):
    first = simulated.build("bohb")
    spec = first.ask()
    assert spec.cost is None
    recorded = msgspec.structs.replace(spec, cost=3.5)
    assert simulated.build("bohb").ask(recorded).cost == 3.5


def test_expected_improvement_is_none_where_nothing_is_uncertain():
    assert expected_improvement(-1.0, 1e-9, 0.0) == pytest.approx(0)
    assert expected_improvement(0.0, 1.0, 0.0) == pytest.approx(0.3989, abs=1e-4)


def test_whole_trainings_are_never_far_behind(simulated):
    """Where short trainings mislead, as with scores of chance for the first epochs, nothing else tells."""
    asked = simulated.drive(simulated.build("freeze_thaw", iterations=4), window=1)
    assert asked[0].epochs == 9
    whole = 0
    for number, spec in enumerate(asked):
        if number >= curve_model.DESIGN:
            # Behind by less than what one training more would take.
            assert whole + 9 > freeze_thaw.WHOLE * spent(asked[:number])
        if spec.epochs == 9:
            whole += spec.epochs - spec.initial_epoch
    assert whole < 0.9 * spent(asked)


def test_with_many_pending_whole_trainings_keep_the_share_that_halving_alone_would_not_give_them(simulated):
    asked = simulated.drive(simulated.build("freeze_thaw", max_epochs=81, max_trials=150), window=60)
    assert spent([spec for spec in asked if spec.epochs == 81]) > freeze_thaw.WHOLE * spent(asked)
