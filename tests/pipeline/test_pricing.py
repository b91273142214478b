"""What a space costs here: what is timed, what is taken for the rest. With workers that need no time."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import pytest
from keras_tuner import HyperParameters

from tuning.core.jobs import Description
from tuning.pipeline.pricing import TIMED_AT, measured

#: Seconds that an epoch takes for each multiply-add of its model; and of those that the space names as good.
RATE, GOOD_RATE = 2.0, 0.5


def width(values):
    return values["width"]


class Workers:
    """Counts and times at once what is asked for, in the order in which it is."""

    def __init__(self, workers=2):
        self.workers, self.timed, self._results = workers, [], {}
        self.dispatcher = SimpleNamespace(result=self._results.get, running=lambda: (), start=lambda: None)

    def common(self):
        return {
            "root": "",
            "space": "s",
            "space_digest": "",
            "data_digest": "",
            "threads": 1,
            "dtype_policy": "float32",
        }

    def request(self, key, kind, job_of):
        job = job_of(0)
        if kind == "count":
            self._results[key] = {"costs": [10 * width(values) for values in job.values]}
            return
        self.timed.append(width(job.values))
        fast = job.values.get("kind") == "good"
        epoch = 10 * width(job.values) * (GOOD_RATE if fast else RATE)
        self._results[key] = {"epoch_seconds": epoch, "start_seconds": 3.0, "checkpoint_bytes": 1, "parameters": 1}

    def wait_for(self, key):
        return self._results[key]


@pytest.fixture
def description():
    hp = HyperParameters()
    hp.Int("width", 1, 64, default=16)
    return Description(space=hp.get_config()["space"], defaults=dict(hp.values), parameters={})


def good(*widths):
    return [{"width": each, "kind": "good"} for each in widths]


def test_good_ones_are_timed_once_for_each_cost_and_cost_what_they_take(description):
    workers = Workers()
    prices = measured(workers, description, good(100, 100, 80), 60.0)
    assert [one.epoch for one in prices.good] == [500.0, 500.0, 400.0]
    assert [each for each in workers.timed if each >= 80] == [100, 80]
    # Two sampled ones first: where there is little time, these say what the space costs.
    assert workers.timed[0] == 16
    assert workers.timed[3:5] == [100, 80]
    assert prices.timed == len(TIMED_AT)


def test_what_good_ones_take_says_nothing_of_the_others(description):
    with_good, without = (measured(Workers(), description, points, 60.0) for points in (good(100), []))
    assert with_good.samples == without.samples
    assert with_good.start == without.start


def test_what_is_not_timed_is_estimated_from_what_was(description, monkeypatch):
    workers = Workers(workers=1)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    prices = measured(workers, description, good(100), 0.0)
    assert workers.timed == [16]
    # A tenth of the default's cost has every training, whatever its model.
    assert math.isclose(prices.good[0].epoch, 320 * (0.1 + 0.9 * 100 / 16))
    assert prices.timed == 0
