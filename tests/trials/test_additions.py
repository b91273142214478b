"""What a published graph has beside the network is decided by validation figures, and off where it does not pay."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.trials.additions import (
    EXPONENTS,
    LEAST_GAIN,
    TEMPERATURES,
    corrected,
    decide,
    none_for_logits,
    prior_scale,
    tempered,
)
from tuning.trials.metrics import cross_entropy

BALANCED = np.array([100, 100, 100])


def answers(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    """Calibrated softmax outputs of so much skill."""
    scores = rng.normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
    return np.exp(skill * scores) / np.exp(skill * scores).sum(axis=1, keepdims=True)


@pytest.fixture
def labels():
    return np.arange(900) % 3


def test_a_view_that_raises_macro_f1_is_in_and_says_what_it_gave(labels):
    rng = np.random.default_rng(0)
    one, other = answers(rng, labels, 1.5), answers(rng, labels, 1.5)
    view = decide(labels, one, other, BALANCED).mirrored_view
    assert view.used and view.reason is None
    assert view.f1_macro_after > view.f1_macro_before + 0.02
    assert view.loss_after < view.loss_before


def test_a_view_of_images_whose_labels_a_mirror_changes_is_left_out(labels):
    one = answers(np.random.default_rng(0), labels, 1.5)
    wrong = one[:, [1, 0, 2]]
    view = decide(labels, one, wrong, BALANCED).mirrored_view
    assert (view.used, view.reason) == (False, "macro-F1 does not rise")
    assert view.f1_macro_after < view.f1_macro_before


def test_without_flip_there_is_no_mirrored_view_to_try(labels):
    view = decide(labels, answers(np.random.default_rng(0), labels, 1.5), None, BALANCED).mirrored_view
    assert not view.used
    assert "flip" in view.reason
    assert view.f1_macro_after is None


def test_a_prior_correction_needs_a_clear_gain():
    rng = np.random.default_rng(1)
    counts = np.array([800, 80, 20])
    labels = np.repeat(np.arange(3), counts)
    fair = answers(rng, labels, 1.5)
    # As of a network that was trained with balanced classes, where the data is not.
    prior = decide(labels, fair, None, counts).prior_correction
    assert prior.used
    assert prior.value in EXPONENTS and prior.value > 0
    assert prior.f1_macro_after > prior.f1_macro_before
    # Of one person, any gain may be that person's.
    alone = decide(labels, fair, None, counts, np.zeros(len(labels), int)).prior_correction
    assert (alone.used, alone.reason) == (False, "macro-F1 does not clearly rise")
    assert alone.f1_macro_after == prior.f1_macro_after
    # Of a few images, the same gain may be luck.
    few = rng.permutation(len(labels))[:40]
    left_out = decide(labels[few], fair[few], None, counts).prior_correction
    assert not left_out.used and left_out.reason


@pytest.mark.parametrize("seed", range(5))
def test_nothing_to_correct_stays_uncorrected(labels, seed):
    found = decide(labels, answers(np.random.default_rng(seed), labels, 1.5), None, BALANCED)
    assert not found.prior_correction.used


@pytest.mark.parametrize(("power", "expected"), [(3.0, 3.0), (0.4, 0.4)])
def test_a_temperature_undoes_what_is_too_sure_or_too_unsure(labels, power, expected):
    skewed = answers(np.random.default_rng(2), labels, 1.5) ** power
    skewed /= skewed.sum(axis=1, keepdims=True)
    found = decide(labels, skewed, None, BALANCED).temperature
    assert found.used
    assert found.value == pytest.approx(expected, rel=0.2)
    assert found.loss_after < found.loss_before
    assert found.f1_macro_after == found.f1_macro_before
    assert (tempered(skewed, found.value).argmax(axis=1) == skewed.argmax(axis=1)).all()


def test_a_temperature_that_gains_nothing_is_left_out(labels):
    found = decide(labels, answers(np.random.default_rng(2), labels, 1.5), None, BALANCED).temperature
    assert not found.used
    assert found.value in [round(value, 6) for value in TEMPERATURES]


def calibrated(rng: np.random.Generator, count: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    """(labels, probabilities): each label is drawn from what is said of it."""
    probabilities = answers(rng, rng.integers(3, size=count), skill)
    return (rng.random((count, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1), probabilities


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("count", "least"), [(10, 0.7), (20, 0.6), (40, 0.45)])
def test_a_few_images_without_an_error_make_a_calibrated_model_little_surer(count, least, seed):
    """Their cross-entropy alone is lowest at the lowest temperature there is."""
    rng = np.random.default_rng(seed)
    labels, fair = calibrated(rng, 200, 2.6)
    right = np.flatnonzero(fair.argmax(axis=1) == labels)[:count]
    found = decide(labels[right], fair[right], None, BALANCED).temperature
    assert min(TEMPERATURES, key=lambda one: cross_entropy(labels[right], tempered(fair[right], one))) == 0.25
    assert least < found.value <= 1
    # What is written is of these images alone.
    assert found.loss_after == pytest.approx(cross_entropy(labels[right], tempered(fair[right], found.value)), abs=2e-6)
    assert found.loss_before == pytest.approx(cross_entropy(labels[right], fair[right]), abs=2e-6)
    assert found.used == (found.loss_before - found.loss_after >= LEAST_GAIN)


def test_many_images_have_the_temperature_of_the_lowest_cross_entropy():
    labels, fair = calibrated(np.random.default_rng(0), 3000, 2.0)
    sure = corrected(fair**2, np.ones(3))
    best = min(TEMPERATURES, key=lambda one: cross_entropy(labels, tempered(sure, one)))
    found = decide(labels, sure, None, BALANCED).temperature
    assert found.used
    assert found.value == pytest.approx(2, rel=0.1)
    # Within a step of the grid.
    assert abs(np.log2(found.value / best)) < 1.01 / 8


def test_probabilities_of_0_and_1_stay_probabilities(labels):
    sure = np.eye(3)[np.where(labels == 2, 0, labels)]
    found = decide(labels, sure, sure, np.array([10, 10, 0]))
    for value in (found.prior_correction.loss_after, found.temperature.loss_after):
        assert np.isfinite(value)
    assert np.isfinite(corrected(sure, prior_scale(np.array([10, 10, 0]), -1.0))).all()


def test_logits_are_left_alone():
    found = none_for_logits()
    for one in (found.mirrored_view, found.prior_correction, found.temperature):
        assert (one.used, one.reason) == (False, "the model puts out logits")
