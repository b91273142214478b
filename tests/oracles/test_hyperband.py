"""Hyperband filled by the surrogate: exactness, brackets, first rung, recommendation; the paper's own beside it."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter

import keras_tuner
import msgspec
import numpy as np
import pytest

from tuning.core.errors import UsageError
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, configuration
from tuning.oracles import space
from tuning.oracles.adapter import OracleSearch
from tuning.oracles.hyperband import SAMPLERS, HyperbandOracle, build
from tuning.oracles.search_model import SearchModel

CHANCE = 0.1


def search_of(simulated, hyperparameters=None, **settings) -> OracleSearch:
    settings = {"max_epochs": 27, "factor": 3, "chance": CHANCE, **settings}
    objective = keras_tuner.Objective("objective", "max")
    return OracleSearch(build(objective, hyperparameters=hyperparameters or simulated.mixed_space(), **settings))


def late(simulated, delay):
    """Outcomes of curves that stay at chance for `delay(values)` epochs."""

    def outcome_of(spec: TrialSpec) -> TrialOutcome:
        begun = delay(spec.values)
        scores = [CHANCE if e <= begun else CHANCE + simulated.value_of(spec.values, e - begun) for e in range(1, 28)]
        curve = tuple({"epoch": e, "objective": score} for e, score in enumerate(scores[: spec.epochs], 1))
        return TrialOutcome(spec.trial_id, COMPLETED, max(scores[: spec.epochs]), curve)

    return outcome_of


def test_the_defaults_are_trained_whole_and_brackets_follow(simulated):
    asked = simulated.drive(search_of(simulated, iterations=4, min_epochs=3), window=1)
    defaults = space.defaults(simulated.mixed_space().space)
    assert configuration(asked[0].values) == defaults
    assert asked[0].epochs == 27
    assert "tuner/bracket" not in asked[0].values
    rungs = {}
    for spec in asked[1:]:
        if "tuner/bracket" in spec.values:
            rungs.setdefault(spec.values["tuner/bracket"], Counter())[spec.epochs] += 1
    # R / 9 to R: s = 2, 1, 0 of a table whose widest bracket has two promotions; then again.
    assert [rungs[number] for number in (1, 2, 3)] == [{3: 9, 9: 3, 27: 1}, {9: 5, 27: 1}, {27: 3}]
    assert rungs[4] == rungs[1]


@pytest.mark.parametrize("window", [1, 8])
def test_the_first_two_given_are_trained_whole_and_the_others_from_the_first_rung(window, simulated):
    given = [{"width": 48}, {"width": 64}, {"width": 16}]
    asked = simulated.drive(search_of(simulated, iterations=4, min_epochs=3, first=given), window)
    begun = [spec for spec in asked if spec.continues is None]
    assert [(spec.values["width"], spec.epochs) for spec in begun[:3]] == [(32, 27), (48, 27), (64, 27)]
    assert begun[3].values["width"] == 16
    assert all(spec.epochs < 27 for spec in begun[3:10])


def test_nothing_waits_for_a_whole_rung(simulated):
    """While results are out, the next bracket begins: as many trials can be pending as are asked for."""
    search = search_of(simulated, iterations=None)
    asked = [search.ask() for _ in range(200)]
    assert all(isinstance(spec, TrialSpec) for spec in asked)


@pytest.mark.parametrize(("delay", "epochs"), [(0, 3), (2, 3), (5, 9), (20, 9), (27, 9)])
def test_the_first_rung_is_where_the_defaults_have_left_chance(delay, epochs, simulated):
    search = search_of(simulated)
    search.tell(late(simulated, lambda values: delay)(search.ask()))
    assert search.ask().epochs == epochs


@pytest.mark.parametrize("window", [4, 40])
def test_no_bracket_begins_before_the_defaults_have_ended_and_nobody_waits(window, simulated):
    """What is asked for ahead are short first looks; the first bracket knows where its first rung is."""
    search = search_of(simulated, iterations=None)
    ahead = [search.ask() for _ in range(window)]
    assert [spec.epochs for spec in ahead] == [27] + [3] * (window - 1)
    assert not any("tuner/bracket" in spec.values for spec in ahead)
    search.tell(late(simulated, lambda values: 5)(ahead[0]))
    spec = search.ask()
    assert spec.values["tuner/bracket"] == 1 and spec.epochs == 9


def test_while_the_defaults_are_trained_the_model_has_a_say(simulated):
    """Where many are asked for ahead, the first looks say where to look next."""
    search = search_of(simulated, iterations=None)
    search.ask()  # and never told
    looks = []
    for _ in range(40):
        looks.append(search.ask())
        search.tell(simulated.completed(looks[-1]))
    assert {spec.epochs for spec in looks} == {3}
    values = [simulated.value_of(spec.values, 27) for spec in looks]
    assert statistics.median(values[20:]) > statistics.median(values[:10]) + 0.1


def test_a_failure_of_the_defaults_does_not_keep_brackets_waiting(simulated):
    search = search_of(simulated, iterations=None)
    search.tell(simulated.failed(search.ask()))
    assert search.ask().values["tuner/bracket"] == 1


def test_where_all_that_learn_do_so_at_once_brackets_begin_lower(simulated):
    search, asked = search_of(simulated, iterations=None), []
    for _ in range(12):
        asked.append(search.ask())
        search.tell(late(simulated, lambda values: 27 if values["width"] == 64 else 0)(asked[-1]))
    assert [spec.epochs for spec in asked[:6]] == [27, 3, 3, 3, 3, 1]
    assert ["tuner/bracket" in spec.values for spec in asked[:6]] == [False] * 5 + [True]


def test_the_first_rung_rises_where_a_third_of_the_curves_speaks_later(simulated):
    outcome_of = late(simulated, lambda values: 6 if values.get("width", 0) != 32 else 0)
    search = search_of(simulated, iterations=None)
    seen = []
    for _ in range(60):
        spec = search.ask()
        seen.append(spec)
        search.tell(outcome_of(spec))
    assert seen[1].epochs == 3
    assert search.oracle.levels[search.oracle.first_rung()] == 9


def test_curves_that_never_leave_chance_are_avoided_and_never_recommended(simulated):
    outcome_of = late(simulated, lambda values: 27 if values["rate"] > 2e-2 else 0)
    search = search_of(simulated, iterations=None)
    rates = []
    for _ in range(90):
        spec = search.ask()
        if spec.continues is None:
            rates.append(spec.values["rate"])
        search.tell(outcome_of(spec))
    dead = [rate > 2e-2 for rate in rates]
    assert sum(dead[-25:]) < sum(dead[:25])
    assert sum(dead[-25:]) <= 10  # uniform draws among them
    assert search.oracle.get_trial(search.oracle.recommended()).hyperparameters.values["rate"] <= 2e-2


def test_a_configuration_that_failed_after_its_promotion_is_not_recommended(simulated):
    """Whatever it showed at the rungs below, it would take the place of a finalist that works."""
    hp = keras_tuner.HyperParameters()
    hp.Float("share", 0.0, 1.0, default=0.1)

    def outcome_of(spec):
        away = abs(spec.values["share"] - 0.7)
        if away < 0.12 and spec.epochs == 9:
            return simulated.failed(spec)
        curve = tuple({"epoch": e, "objective": 0.2 + 0.05 * min(e, 6) * (1 - away)} for e in range(1, spec.epochs + 1))
        return TrialOutcome(spec.trial_id, COMPLETED, curve[-1]["objective"], curve)

    search = search_of(simulated, hp, max_epochs=9, iterations=2)
    simulated.drive(search, window=1, outcome_of=outcome_of)
    failed = {each.last for each in search.oracle.configurations if each.failed and each.rung >= 0}
    assert failed
    assert search.oracle.recommended() not in failed


def test_where_all_that_had_a_score_have_failed_none_is_recommended(simulated):
    search = search_of(simulated, max_trials=4, min_epochs=3)
    simulated.drive(
        search, 1, lambda spec: (simulated.failed if spec.epochs == 27 else simulated.completed)(spec), limit=10
    )
    assert any(each.rung >= 0 for each in search.oracle.configurations)
    for each in search.oracle.configurations:
        each.failed = True
    assert search.recommended() is None


def test_the_recommendation_is_near_the_best(simulated):
    search = search_of(simulated, iterations=None)
    outcome_of = late(simulated, lambda values: 0)
    for _ in range(60):
        search.tell(outcome_of(search.ask()))
    best = search.oracle.get_trial(search.oracle.recommended()).hyperparameters.values
    assert abs(math.log10(best["rate"]) + 2) < 0.5
    assert simulated.value_of(best, 27) > 0.85


@pytest.mark.parametrize("window", [1, 4, 16])
def test_the_same_tells_give_the_same_proposals_and_a_replay_goes_on_alike(window, simulated):
    outcome_of = late(simulated, lambda values: int(values["batch"]) % 5)
    whole = simulated.drive(search_of(simulated, iterations=2), window, outcome_of)
    assert simulated.drive(search_of(simulated, iterations=2), window, outcome_of) == whole


def test_a_replay_computes_no_proposal_and_goes_on_alike(simulated, monkeypatch):
    outcome_of = late(simulated, lambda values: int(values["batch"]) % 5)
    whole = simulated.drive(search_of(simulated, iterations=2), 1, outcome_of)
    for cut in (1, 10, len(whole) // 2, len(whole) - 1):
        search = search_of(simulated, iterations=2)
        with monkeypatch.context() as patch:
            patch.setattr(SearchModel, "posterior", None)
            for spec in whole[:cut]:
                assert search.ask(spec) == spec
                search.tell(outcome_of(spec))
        assert simulated.drive(search, 1, outcome_of) == whole[cut:]


@pytest.mark.parametrize("window", [1, 8])
def test_a_finite_space_ends_with_every_configuration_trained_whole(window, simulated):
    search = search_of(simulated, simulated.five_points(), iterations=None)
    asked = simulated.drive(search, window)
    assert sorted(spec.values["point"] for spec in asked if spec.epochs == 27) == [0, 1, 2, 3, 4]


def test_the_state_is_complete_in_the_middle_of_brackets(simulated):
    original = search_of(simulated, iterations=2)
    pending = [original.ask() for _ in range(6)]
    for _ in range(20):
        original.tell(simulated.completed(pending.pop(0)))
        pending.append(original.ask())
    copy = search_of(simulated, iterations=2)
    copy.oracle.set_state(json.loads(json.dumps(original.oracle.get_state())))
    copy._outstanding = set(original._outstanding)
    assert copy.oracle.get_state() == original.oracle.get_state()

    def finish(search):
        for spec in pending:
            search.tell(simulated.completed(spec))
        return simulated.drive(search)

    rest = finish(original)
    assert finish(copy) == rest


def test_another_sampler_is_refused():
    with pytest.raises(UsageError, match="no sampler 'sobol'"):
        build(None, sampler="sobol")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_less_than_one_pass_is_refused(sampler):
    with pytest.raises(UsageError, match="at least 1 iteration, not 0"):
        build(None, sampler=sampler, iterations=0)


@pytest.mark.slow
def test_ask_and_tell_take_milliseconds_with_ten_thousand_trials_known(simulated, monkeypatch):
    """5 ms of processor time at the median on a busy core; the bound leaves room for a busy machine."""

    def outcome_of(spec: TrialSpec) -> TrialOutcome:
        return msgspec.structs.replace(simulated.completed(spec), cost=1e6 * spec.values["width"])

    search, generator = search_of(simulated, iterations=None), np.random.default_rng(0)
    with monkeypatch.context() as patch:  # how they were found does not matter
        patch.setattr(HyperbandOracle, "_has_model", False)
        pending = [search.ask() for _ in range(256)]
        for _ in range(10_000):
            search.tell(outcome_of(pending.pop(int(generator.integers(len(pending))))))
            pending.append(search.ask())
    taken = []
    for _ in range(220):
        outcome = outcome_of(pending.pop(int(generator.integers(len(pending)))))
        began = time.process_time()
        search.tell(outcome)
        pending.append(search.ask())
        taken.append(time.process_time() - began)
    assert statistics.median(taken[20:]) < 0.015


def test_what_failed_is_avoided_like_what_never_learns(simulated):
    """A configuration that runs out of memory teaches what the next ones should not be."""

    def outcome_of(spec):
        return (simulated.failed if spec.values["width"] == 64 else simulated.completed)(spec)

    last = []
    for seed in range(5):
        asked = simulated.drive(search_of(simulated, max_trials=100, seed=seed), window=1, outcome_of=outcome_of)
        last += [spec.values["width"] for spec in asked if spec.continues is None][-20:]
    assert last.count(64) <= len(last) / 6  # a quarter of the space


class TestTheEndOfABudget:
    def asked(self, close_after: int, promotions: int, trials: int = 40):
        """(oracle, trials asked for one at a time, of which after so many nothing new was to be begun)."""
        hp = keras_tuner.HyperParameters()
        hp.Float("rate", 0.0, 1.0)
        oracle = HyperbandOracle(
            keras_tuner.Objective("score", "max"), hyperparameters=hp, max_epochs=9, iterations=None, chance=0.1
        )
        oracle.verbose = 0
        asked = []
        for number in range(trials):
            if number == close_after:
                oracle.closing = promotions
            trial = oracle.create_trial(f"t{number}")
            if trial.status != "RUNNING":
                break
            asked.append(dict(trial.hyperparameters.values))
            for epoch in range(1, trial.hyperparameters.values["tuner/epochs"] + 1):
                score = 0.3 + 0.05 * epoch * trial.hyperparameters.values["rate"]
                oracle.update_trial(trial.trial_id, {"score": score}, step=epoch)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        return oracle, asked

    def test_the_best_begun_are_trained_to_the_end_and_nothing_new_begins(self):
        _, asked = self.asked(6, 2)
        last = asked[6:]
        assert len(last) == 2
        assert all(values["tuner/epochs"] == 9 and "tuner/trial_id" in values for values in last)
        begun = [values["rate"] for values in asked[1:6] if values["tuner/epochs"] < 9]
        assert last[0]["rate"] == max(begun)

    def test_without_room_for_any_nothing_more_is_asked(self):
        _, asked = self.asked(5, 0)
        assert len(asked) == 5


def test_what_was_trained_beside_the_defaults_counts_in_the_first_bracket():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0)
    oracle = HyperbandOracle(
        keras_tuner.Objective("score", "max"), hyperparameters=hp, max_epochs=3, iterations=None, chance=0.1
    )
    oracle.verbose = 0
    first = [oracle.create_trial(f"t{number}") for number in range(4)]  # the defaults, and three beside it
    for trial in [*first[1:], first[0]]:
        for epoch in range(1, trial.hyperparameters.values["tuner/epochs"] + 1):
            oracle.update_trial(trial.trial_id, {"score": 0.3 + 0.1 * epoch}, step=epoch)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert "tuner/trial_id" in oracle.create_trial("next").hyperparameters.values
