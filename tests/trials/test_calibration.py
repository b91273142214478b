from __future__ import annotations

import numpy as np
import pytest

from tuning.core.jobs import Addition, Additions
from tuning.trials.additions import tempered
from tuning.trials.calibration import calibration, untempered


def answered(rng: np.random.Generator, images: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities of five classes, and these to a power: with 1 a calibrated model's."""
    scores = np.exp(1.5 * rng.standard_normal((images, 5)))
    honest = scores / scores.sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return labels, tempered(honest, 1 / power)


def test_calibration_is_the_mean_gap_by_hand():
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.4, 0.6]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = calibration(labels, probabilities, bins=10)
    assert [(entry.count, round(entry.confidence, 6), entry.accuracy) for entry in found.bins] == [
        (2, 0.6, 1.0),
        (4, 0.95, 0.75),
    ]
    assert found.error == pytest.approx((2 * 0.4 + 4 * 0.2) / 6)
    assert found.overconfident == pytest.approx((2 * -0.4 + 4 * 0.2) / 6)


def test_the_calibration_error_has_an_interval_that_is_wider_with_fewer_units():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 600)
    right = rng.random(600) < confidence - 0.1
    probabilities, labels = np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)
    alone = calibration(labels, probabilities)
    assert alone.low < alone.error < alone.high
    assert alone.low < 0.1 < alone.high < 0.2
    copied = calibration(np.tile(labels, 4), np.tile(probabilities, (4, 1)), units=np.tile(np.arange(600), 4))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=1e-6)


def test_a_calibrated_model_may_be_one_by_its_interval():
    """Chance makes an error of .1 with a hundred images; that of 700 with a true error of .1 is none of chance's."""
    rng = np.random.default_rng(0)
    calibrated = [calibration(*answered(rng, 100, 1.0)) for _ in range(20)]
    assert np.mean([found.error for found in calibrated]) > 0.08
    # 2.5 %, and what 20 draws of it may be.
    assert sum(found.low > 0 for found in calibrated) <= 2
    assert all(calibration(*answered(rng, 700, 1.8)).low > 0.05 for _ in range(5))


@pytest.mark.parametrize("persons", [1, 2, 3, 6])
def test_few_persons_do_not_show_that_a_model_is_miscalibrated(persons):
    """Of each the model is a little too sure, or not sure enough: on average it is calibrated."""
    rng, said = np.random.default_rng(0), 0
    units = np.repeat(np.arange(persons), 40)
    for _ in range(40):
        confidence = rng.uniform(0.5, 1, len(units))
        right = rng.random(len(units)) < np.clip(confidence + 0.15 * rng.standard_normal(persons)[units], 0, 1)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        said += calibration(np.where(right, 0, 1), probabilities, units=units, resamples=300).low > 0
    # 2.5 %, and what 40 draws of it may be (binomial, 99 %).
    assert said <= 4


def test_all_right_and_sure_of_it_is_not_known_to_be_calibrated():
    few, more = (calibration(np.zeros(images, int), np.array([[1.0, 0.0]] * images)) for images in (1, 18))
    assert (few.low, few.error, few.bins[0].high) == (0, 0, 1)
    # As far as the exact interval of 18 right of 18 goes.
    assert more.high == pytest.approx(1 - 0.025 ** (1 / 18)) and few.high == pytest.approx(0.975)


def test_a_temperature_is_taken_out_again():
    labels, sure = answered(np.random.default_rng(1), 300, 2.0)
    none = Addition(used=False, reason="it does not pay")
    additions = Additions(
        mirrored_view=none, prior_correction=none, temperature=Addition(used=True, value=2.0, loss_after=1.0)
    )
    before = untempered(labels, tempered(sure, 2.0), additions)
    assert before == calibration(labels, tempered(tempered(sure, 2.0), 0.5))
    assert before.error == pytest.approx(calibration(labels, sure).error)
    assert untempered(labels, sure, None) is None
    unused = Additions(mirrored_view=none, prior_correction=none, temperature=Addition(used=False, value=2.0))
    assert untempered(labels, sure, unused) is None
