"""The simulation of claims at small size: equal models are seldom called different."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.claims import World, false_claims, found_difference
from benchmarks.equal_models import Layout, count
from tuning.results.comparison import chosen_score
from tuning.trials.bootstrap import resample


@pytest.mark.parametrize("deviation", [0.0, 0.013])
@pytest.mark.parametrize("seeds", [[2, 2], [2, 2, 1, 1], [2] * 10, [2, 2, *[1] * 28]], ids=["2", "4", "10", "30"])
def test_equal_models_are_seldom_called_worse(seeds, deviation):
    known, _ = false_claims(World(images=700, deviation=deviation), seeds, repeats=60, resamples=200)
    # At an error rate of 5 %, more than 8 of 60 boards would be wrong in less than 1 % of cases (binomial).
    assert known <= 8 / 60


def test_what_seeds_do_is_not_explained_by_test_images():
    """If the variance between seeds is left out, equal models are called worse on the same boards."""
    known, left_out = false_claims(World(images=2100), [2] * 10, repeats=40, resamples=200)
    assert known <= 6 / 40 < 10 / 40 < left_out


def test_without_a_second_seed_nothing_is_claimed():
    known, left_out = false_claims(World(images=2100), [1] * 6, repeats=20, resamples=200)
    assert known == 0 < left_out


def test_more_seeds_and_more_images_find_smaller_differences():
    two, five = (found_difference(World(images=700), seeds, 0, 20, 200) for seeds in (2, 5))
    assert five < 0.75 * two
    assert found_difference(World(images=4200), 5, 0, 20, 200) < five


def test_the_corrected_score_of_the_best_of_equal_models_is_not_optimistic():
    world, rng, gaps = World(images=210, classes=3, deviation=0.0), np.random.default_rng(0), []
    for _ in range(30):
        predictions, _ = world.runs(rng, [1] * 10)
        found = resample(world.labels, predictions, world.classes, None, 200)
        gaps.append((found.scores.max() - world.skill, chosen_score(found) - world.skill))
    raw, corrected = np.mean(gaps, axis=0)
    assert raw > 0.02
    assert -0.02 < corrected < raw / 2


def test_copies_claim_no_more_than_their_originals():
    known, _ = false_claims(World(images=100, copies=6, deviation=0.0), [2, 2, 2], repeats=40, resamples=200)
    assert known <= 6 / 40


@pytest.mark.parametrize("persons", [3, 10])
def test_few_persons_claim_no_more_than_many(persons):
    """With three persons, equal models were once called worse on four of ten boards."""
    world = World(images=20 * persons, classes=4, persons=persons)
    known, left_out = false_claims(world, [3] * 4, repeats=60, resamples=200)
    assert known <= 8 / 60 and left_out <= 15 / 60


def test_a_single_person_says_nothing_of_a_difference():
    world = World(images=40, classes=4, persons=1)
    for seeds in ([1, 1], [3, 3]):
        found = world.compared(np.random.default_rng(0), seeds, 200).difference(0, seeds[0])
        assert (found.low, found.high) == (-1, 1)


def test_boards_of_equal_runs_are_drawn_from_seeds_of_one_configuration():
    """A plain bootstrap mistakes the variance between seeds for a difference; the leaderboard does not."""
    world = World(images=2100, deviation=0.03)
    predictions, _ = world.runs(np.random.default_rng(0), [6, 6])
    found = resample(world.labels, predictions, world.classes, None, 200)
    groups = [list(range(6)), list(range(6, 12))]
    got = count(found, groups, Layout(2, 1, 2), boards=40)
    assert got.said <= 6 / 40 < 10 / 40 < got.plain
    assert count(found, groups, Layout(2, 1, 0), boards=20).said == 0
    steady = found.of([0] * 12)
    assert count(steady, groups, Layout(2, 2, 2), boards=10).plain == 0
