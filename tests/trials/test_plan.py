from __future__ import annotations

import itertools
import math
import random

import keras_tuner
import pytest

from tuning.core.errors import UsageError
from tuning.core.plan import ShortenedFinal
from tuning.trials.plan import (
    FLOOR,
    TrainingPlan,
    check_values,
    chosen_epoch,
    cooling_factor,
    learning_rate_factor,
    plateaus,
    should_stop,
    warmup_factors,
)

CONSTANT, COSINE, PLATEAU = (TrainingPlan(schedule=name) for name in ("constant", "cosine", "plateau"))


def factors(plan, total, losses=(), patience=None):
    """The factor of each epoch of a training of `total` epochs."""
    return [learning_rate_factor(plan, epoch, total, losses[: epoch - 1], patience) for epoch in range(1, total + 1)]


def test_a_builder_that_declares_nothing_trains_as_keras_does():
    assert TrainingPlan.from_values({"units": 3}) == TrainingPlan(32, "none", 0.0, False, "constant")


def test_the_plan_is_read_by_name():
    values = {"batch_size": 64, "class_balance": "sampler", "augmentation": 1, "flip": True, "schedule": "cosine"}
    assert TrainingPlan.from_values(values) == TrainingPlan(64, "sampler", 1.0, True, "cosine")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("class_balance", "smote", "none, weights, sampler"),
        ("schedule", "step", "constant, cosine, plateau"),
        ("batch_size", 0, "1 or more"),
        ("batch_size", -8, "1 or more"),
        ("batch_size", "small", "another name"),
        ("batch_size", None, "another name"),
        ("batch_size", math.inf, "another name"),
        ("augmentation", "strong", "another name"),
        ("augmentation", 1.01, "0 to 1"),
        ("augmentation", -0.1, "0 to 1"),
        ("augmentation", math.nan, "0 to 1"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_valid_ones(name, value, said):
    with pytest.raises(UsageError, match=name) as refused:
        TrainingPlan.from_values({name: value})
    assert said in refused.value.remedy


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda hp: hp.Float("batch_size", 16, 64), "batch_size is "),
        (lambda hp: hp.Float("batch_size", 10, 110), "batch_size is "),
        (lambda hp: hp.Float("batch_size", 16, 64, step=0.5), "batch_size is "),
        (lambda hp: hp.Float("batch_size", 8, 128, sampling="log"), "batch_size is "),
        (lambda hp: hp.Float("flip", 0, 1), "flip is 0."),
        (lambda hp: hp.Float("augmentation", 0, 1.5), "augmentation is 1.5"),
        (lambda hp: hp.Int("batch_size", 0, 64), "batch_size is 0"),
    ],
)
def test_a_range_with_values_that_cannot_be_meant_is_refused(declare, said):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    with pytest.raises(UsageError) as refused:
        check_values("own", hp.space)
    assert refused.value.problem.startswith(f"hyperparameter {said}")


def test_a_hyperparameter_whose_value_no_file_of_a_run_could_hold_is_refused():
    hp = keras_tuner.HyperParameters()
    hp.Choice("settings", ["deep", "wide"])
    with pytest.raises(UsageError, match="hyperparameter 'settings', whose value would be lost") as refused:
        check_values("own", hp.space)
    assert refused.value.remedy == "give it another name"


def test_a_range_of_values_that_can_be_meant_is_one():
    hp = keras_tuner.HyperParameters()
    hp.Int("batch_size", 16, 256, sampling="log")
    hp.Float("batch_size", 16, 64, step=16)
    hp.Float("batch_size", 8, 128, step=2, sampling="log")
    hp.Float("augmentation", 0.1, 1.0, step=0.1)
    hp.Float("augmentation", 0.0, 1.0)
    hp.Int("flip", 0, 1)
    hp.Float("flip", 0, 1, step=1)
    check_values("own", hp.space)


def test_a_constant_rate_is_constant():
    assert factors(CONSTANT, 5, [3, 3, 3, 3, 3]) == [1.0] * 5


@pytest.mark.parametrize("total", [1, 2, 3])
def test_cosine_does_not_warm_up_in_very_short_trainings(total):
    assert factors(COSINE, total)[0] == 1.0


@pytest.mark.parametrize(("total", "warmup"), [(4, 1), (27, 1), (30, 2), (40, 2), (100, 5)])
def test_cosine_warms_up_linearly_over_a_twentieth_then_falls_towards_the_floor(total, warmup):
    found = factors(COSINE, total)
    assert found[:warmup] == [pytest.approx(epoch / warmup) for epoch in range(1, warmup + 1)]
    assert found[warmup] == 1.0
    assert all(later < earlier for earlier, later in zip(found[warmup:], found[warmup + 1 :], strict=False))
    assert FLOOR < found[-1] < found[0]
    middle = warmup + (total - warmup) // 2
    if (total - warmup) % 2 == 0:
        assert found[middle] == pytest.approx((1 + FLOOR) / 2)


@pytest.mark.parametrize("parts", [1, 3])
def test_the_rate_rises_with_every_step_of_a_warm_up_however_its_epochs_are_cut(parts):
    ends = [*(part / parts for part in range(parts)), 1, 2]
    found = [
        factor
        for before, after in itertools.pairwise(ends)
        for factor in warmup_factors(COSINE, before, after, 40, round(60 * (after - before)))
    ]
    assert found == [pytest.approx((step + 1) / 120) for step in range(120)]
    assert warmup_factors(COSINE, 2, 3, 40, 60) is None


@pytest.mark.parametrize("plan", [CONSTANT, PLATEAU])
def test_only_cosine_warms_up(plan):
    assert warmup_factors(plan, 0, 1, 40, 60) is None


def test_cosine_stays_at_the_floor_beyond_its_length():
    assert learning_rate_factor(COSINE, 500, 10, []) == pytest.approx(FLOOR)


def test_a_schedule_depends_on_the_total_not_on_where_this_rung_ends():
    assert factors(COSINE, 9)[:3] == [learning_rate_factor(COSINE, epoch, 9, []) for epoch in (1, 2, 3)]


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([], 2, 0),
        ([1.0], 1, 0),
        ([1.0, 1.0], 1, 1),  # equal is no better
        ([1.0, 1.1], 2, 0),
        ([1.0, 1.1, 1.2], 2, 1),
        ([1.0, 1.1, 0.9, 1.0, 1.0], 2, 1),  # an improvement starts the count anew
        ([1.0, 1.1, 1.2, 1.1, 1.3], 2, 2),  # and so does a reduction
        ([1.0, 2.0, 1.5, 1.2], 3, 1),  # falling is not enough: it must beat the best
    ],
)
def test_a_plateau_is_so_many_losses_no_better_than_the_best_before(losses, patience, expected):
    assert plateaus(losses, patience) == expected


def test_plateau_halves_after_three_epochs_without_a_better_loss_and_never_below_the_floor():
    assert factors(PLATEAU, 9, [1, 2, 2, 2, 2, 2, 2, 2]) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert learning_rate_factor(PLATEAU, 200, 200, [1.0] * 199) == FLOOR


def test_reduce_lr_acts_on_a_constant_rate_with_its_own_patience():
    assert factors(CONSTANT, 4, [1, 1, 1], patience=1) == [1, 1, 0.5, 0.25]
    # The schedule's own patience is part of the configuration, and stays.
    assert factors(PLATEAU, 4, [1, 1, 1], patience=1) == [1, 1, 1, 1]
    assert factors(COSINE, 4, [1, 1, 1], patience=1) == factors(COSINE, 4)


@pytest.mark.parametrize(
    ("scores", "patience", "stop"),
    [
        ([], 3, False),
        ([0.5, 0.4, 0.3], None, False),
        ([0.5, 0.4, 0.3], 0, False),
        ([0.5, 0.4], 2, False),  # nothing before the last two to compare with
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5, 0.4, 0.5], 2, True),  # as good is not better
        ([0.5, 0.4, 0.51], 2, False),
        ([0.5, 0.6, 0.6], 2, False),
        ([0.5, 0.6, 0.6, 0.55], 2, True),
    ],
)
def test_training_stops_when_the_last_epochs_brought_nothing_better(scores, patience, stop):
    assert should_stop(scores, patience) is stop


def test_the_last_epoch_within_one_standard_error_of_the_best_is_published():
    scores = [0.3, 0.5, 0.45, 0.48, 0.42]
    # Standard errors of 0.5: 0.005, 0.025, 0.05 and 0.158.
    assert [chosen_epoch(scores, images) for images in (10_000, 400, 100, 10)] == [2, 4, 4, 5]
    assert chosen_epoch([0.1, 0.3, 0.2, 0.3], 10_000) == 4
    assert chosen_epoch([1.0, 0.9, 1.0, 0.99], 10) == 3
    assert chosen_epoch([0.0], 10) == 1
    assert chosen_epoch([0.0, 0.0], 10) == 2


def test_what_is_kept_while_training_goes_on_is_what_would_be_chosen_at_its_end():
    rng = random.Random(0)
    for images in (1, 10, 100, 10_000):
        for _ in range(300):
            scores = [rng.choice([None, 0.0, 1.0, rng.random(), rng.random() / images]) for _ in range(12)]
            kept = None
            for epoch in range(1, len(scores) + 1):
                if chosen_epoch(scores[:epoch], images) == epoch:
                    kept = epoch
            assert kept == chosen_epoch(scores, images)


def cut(after, until):
    return ShortenedFinal(run_id="a-s0", after=after, until=until)


def test_a_training_that_ends_earlier_cools_down_to_the_floor_whatever_is_left():
    assert [cooling_factor(epoch, []) for epoch in (1, 9)] == [1, 1]
    long = [cooling_factor(epoch, [cut(5, 25)]) for epoch in range(4, 26)]
    assert long[:2] == [1, 1]
    assert long == sorted(long, reverse=True)
    assert FLOOR < long[-1] < 2 * FLOOR
    assert cooling_factor(6, [cut(5, 6)]) == pytest.approx((1 + FLOOR) / 2)
    # To the last bit as ever, so that a journal of old is replayed as it was.
    assert long[2:] == [FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * n / 21)) for n in range(1, 21)]


def test_one_that_is_shortened_again_goes_on_from_the_rate_that_it_had():
    once, twice, thrice = [cut(5, 25)], [cut(5, 25), cut(15, 18)], [cut(5, 25), cut(15, 18), cut(16, 17)]
    assert [cooling_factor(epoch, twice) for epoch in range(1, 16)] == [cooling_factor(e, once) for e in range(1, 16)]
    assert cooling_factor(16, thrice) == cooling_factor(16, twice)
    for cuts in (twice, thrice):
        rates = [cooling_factor(epoch, cuts) for epoch in range(15, cuts[-1].until + 1)]
        assert rates == sorted(rates, reverse=True)
        assert FLOOR < rates[-1] < 0.5 * rates[0] + FLOOR
        assert cooling_factor(cuts[-1].until, cuts) < cooling_factor(cuts[-1].until, once)
