from __future__ import annotations

import itertools
import math
import random

import keras_tuner
import pytest

from tuning.core.errors import UsageError
from tuning.core.plan import NewLength
from tuning.trials.plan import (
    FLOOR,
    TrainingPlan,
    check_values,
    chosen_epoch,
    laid_out,
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
    return NewLength(run_id="a-s0", after=after, until=until)


def changed(plan, total, *changes, until=None):
    epochs = range(1, (until or changes[-1].until) + 1)
    return [learning_rate_factor(plan, epoch, total, [], changes=changes) for epoch in epochs]


@pytest.mark.parametrize("until", [11, 14, 20, 35, 100])
def test_the_rest_of_a_cosine_is_stretched_or_compressed_to_a_new_length(until):
    planned, other = factors(COSINE, 20), changed(COSINE, 20, cut(10, until))
    assert other[:10] == planned[:10]
    assert other == sorted(other[:1]) + sorted(other[1:], reverse=True)
    # It goes on from the same point of the schedule, and passes through the same rates at the same shares of the rest.
    assert other[10] == pytest.approx(planned[10])
    middle = (until - 10) / 2
    halfway = learning_rate_factor(COSINE, 11 + middle, 20, [], changes=[cut(10, until)])
    assert halfway == pytest.approx(learning_rate_factor(COSINE, 16, 20, []))
    after = learning_rate_factor(COSINE, until + 1, 20, [], changes=[cut(10, until)])
    assert after == pytest.approx(FLOOR)


def test_the_same_length_again_changes_nothing():
    assert changed(COSINE, 20, cut(10, 14), cut(12, 20), cut(13, 20)) == pytest.approx(
        changed(COSINE, 20, cut(10, 14), cut(12, 20))
    )
    assert changed(COSINE, 20, cut(7, 20)) == pytest.approx(factors(COSINE, 20))


def test_each_change_affects_the_rate_only_after_it():
    once, twice = changed(COSINE, 40, cut(10, 25)), changed(COSINE, 40, cut(10, 25), cut(15, 60))
    assert twice[:16] == pytest.approx(once[:16])
    assert all(long > short for long, short in zip(twice[16:], once[16:], strict=False))
    assert len(twice) == 60 and FLOOR < twice[-1] < 2 * FLOOR


def test_a_length_decided_in_the_warm_up_leaves_the_warm_up_as_it_is():
    planned, other = factors(COSINE, 60), changed(COSINE, 60, cut(1, 30))
    assert other[:3] == planned[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert other[3] == 1 and other[3:] == sorted(other[3:], reverse=True) and other[-1] < 2 * FLOOR


def test_a_length_decided_before_the_training_is_its_planned_one():
    changes = [cut(0, 5), cut(0, 30), cut(10, 20)]
    assert (laid_out(60, []), laid_out(60, [cut(3, 5)]), laid_out(60, changes)) == (60, 60, 30)
    assert changed(COSINE, 30, *changes) == pytest.approx(changed(COSINE, 30, cut(10, 20)))
    assert changed(COSINE, 30, cut(0, 30)) == pytest.approx(factors(COSINE, 30))


def test_other_schedules_fall_to_the_floor_whatever_is_left():
    plan = TrainingPlan(schedule="constant")
    long = changed(plan, 40, cut(5, 25))
    assert long[:6] == [1] * 5 + [pytest.approx(FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi / 21)))]
    assert long[5:] == sorted(set(long[5:]), reverse=True) and FLOOR < long[-1] < 2 * FLOOR
    assert changed(plan, 40, cut(5, 6))[-1] == pytest.approx((1 + FLOOR) / 2)
    twice = changed(plan, 40, cut(5, 25), cut(15, 18))
    assert twice[:15] == long[:15] and twice[-1] < long[17]
    assert twice[14:] == sorted(twice[14:], reverse=True)
    # On top of what a plateau has taken.
    losses = [1.0] * 30
    halved = learning_rate_factor(PLATEAU, 10, 40, losses[:9])
    assert 0 < halved < 1
    assert learning_rate_factor(PLATEAU, 10, 40, losses[:9], changes=[cut(5, 25)]) == pytest.approx(halved * long[9])
