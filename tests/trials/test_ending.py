"""Curves that have ended are told from those that have not, by pure functions of the curve."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.trials import ending
from tuning.trials.plan import TrainingPlan

CONSTANT, COSINE = TrainingPlan(), TrainingPlan(schedule="cosine")
CLASSES = 7


def entry(epoch, f1, accuracy=0.5, loss=1.0, val_loss=1.0, rate=1e-3):
    return {
        "epoch": epoch,
        "learning_rate": rate,
        "loss": loss,
        "val_loss": val_loss,
        "val_accuracy": accuracy,
        "val_f1_macro": f1,
    }


def one_label(share=0.25):
    return 2 * share / (1 + share) / CLASSES


def dead(epochs, loss=1.9, **more):
    return [entry(n, one_label(), 0.25, loss, loss, **more) for n in range(1, epochs + 1)]


def curve(scores, **more):
    return [entry(n, score, **more) for n, score in enumerate(scores, 1)]


def saturating(epochs, limit=0.6, noise=0.0, seed=0):
    steps = np.arange(1, epochs + 1)
    return limit - 0.4 * steps**-1.0 + noise * np.random.default_rng(seed).normal(size=epochs)


class TestDead:
    def test_it_takes_five_epochs_after_the_first(self):
        assert ending.curve_end(dead(5), CONSTANT, 30, CLASSES) is None
        assert ending.curve_end(dead(6), CONSTANT, 30, CLASSES) == "dead"

    def test_another_label_in_each_epoch_is_dead_too(self):
        found = [entry(n, one_label(share), share, 1.9, 1.9) for n, share in enumerate([0.25, 0.02] * 4, 1)]
        assert ending.curve_end(found, CONSTANT, 30, CLASSES) == "dead"

    @pytest.mark.parametrize("name", ["loss", "val_loss"])
    def test_a_loss_that_falls_is_alive(self, name):
        found = dead(8)
        for number, row in enumerate(found):
            row[name] = 1.9 - 0.02 * number
        assert ending.curve_end(found, CONSTANT, 30, CLASSES) is None

    def test_one_epoch_with_two_labels_is_alive(self):
        found = dead(8)
        found[5]["val_f1_macro"] += 0.01
        assert ending.curve_end(found, CONSTANT, 30, CLASSES) is None

    def test_epochs_of_warming_up_do_not_count(self):
        assert ending.curve_end(dead(8), COSINE, 100, CLASSES) is None
        assert ending.curve_end(dead(11), COSINE, 100, CLASSES) == "dead"

    def test_two_classes(self):
        found = [entry(n, 2 * 0.5 / 1.5 / 2, 0.5, 0.69, 0.69) for n in range(1, 7)]
        assert ending.curve_end(found, CONSTANT, 30, 2) == "dead"


class TestFlat:
    def test_a_curve_that_has_reached_its_limit_is_flat(self):
        found = curve([0.3, 0.5, 0.58, *[0.6, 0.598, 0.599, 0.597] * 5])
        assert ending.curve_end(found, CONSTANT, 27, CLASSES) == "flat"

    def test_one_that_rises_is_not(self):
        assert ending.curve_end(curve(0.1 + 0.015 * np.arange(20)), CONSTANT, 27, CLASSES) is None

    def test_one_that_rises_slowly_with_noise_is_not(self):
        for seed in range(50):
            noise = 0.005 * np.random.default_rng(seed).normal(size=15)
            assert ending.curve_end(curve(0.3 + 0.01 * np.arange(15) + noise), CONSTANT, 30, CLASSES) is None

    def test_what_is_lost_is_less_than_the_seed_decides(self):
        """A thousand noisy curves: of those that are ended, few would have gained more than two seeds differ by."""
        lost, saved = [], 0
        for seed in range(300):
            scores = saturating(40, 0.6, 0.01, seed)
            for epochs in range(1, 41):
                if ending.curve_end(curve(scores[:epochs]), CONSTANT, 40, CLASSES):
                    lost.append(scores.max() - scores[:epochs].max())
                    saved += 40 - epochs
                    break
        assert saved > 300
        assert np.mean(np.array(lost) > 0.02) < 0.05

    def test_a_short_or_recent_best_is_not(self):
        flat = [0.3, 0.5, 0.58, *[0.6, 0.598, 0.599, 0.597] * 5]
        assert ending.curve_end(curve(flat[:9]), CONSTANT, 27, CLASSES) is None
        assert ending.curve_end(curve(flat[:20]), CONSTANT, 90, CLASSES) is None
        assert ending.curve_end(curve([*flat, 0.605]), CONSTANT, 27, CLASSES) is None

    def test_not_before_the_learning_rate_has_fallen(self):
        flat = [0.3, 0.5, 0.58, *[0.6, 0.598, 0.599, 0.597] * 5]
        found = curve(flat)
        assert ending.curve_end(found, COSINE, 27, CLASSES) is None
        assert ending.curve_end(found, CONSTANT, 27, CLASSES, reduce_lr=3) is None
        found[-1]["learning_rate"] = 9e-5
        assert ending.curve_end(found, COSINE, 27, CLASSES) == "flat"
        assert ending.curve_end(found, CONSTANT, 27, CLASSES, reduce_lr=3) == "flat"
        for row in found:
            del row["learning_rate"]
        assert ending.curve_end(found, CONSTANT, 27, CLASSES) is None

    def test_extrapolation_finds_the_law_it_looks_for(self):
        scores = saturating(12)
        assert ending.extrapolated(scores.tolist(), 40) == pytest.approx(0.6 - 0.4 / 40, abs=1e-9)
