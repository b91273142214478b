"""What a trial asks of a cluster, as a person writes it, and how often a node has that."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.engine.executors.seats import Request, parse


def test_a_request_is_read_and_written():
    found = parse("CPU=2, GPU=0.5,memory=4g,scratch=1,label:zone=a,label:role=!login")
    assert found == Request(
        cpus=2, gpus=0.5, memory=4 * 2**30, others={"scratch": 1.0}, labels={"zone": "a", "role": "!login"}
    )
    assert parse(found.text()) == found
    assert parse(None) == Request() == parse("CPU=1")
    assert found.options() == {"num_cpus": 2, "num_gpus": 0.5, "resources": {"scratch": 1.0}, "memory": 4 * 2**30}


@pytest.mark.parametrize(
    "text",
    ["", ",", "CPU", "CPU=", "CPU=many", "CPU=-1", "GPU=1.5", "CPU=nan", "memory=4x", "memory=", "label:a", "=3"],
)
def test_what_is_no_request_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="--ray-resources") as caught:
        parse(text)
    assert "CPU=1,GPU=0.5,memory=4g" in caught.value.remedy


@pytest.mark.parametrize("text", ["CPU=1,CPU=4", "memory=1g,CPU=1,memory=2g", "label:zone=a,label:zone=b"])
def test_of_two_amounts_of_one_thing_none_is_dropped(text):
    with pytest.raises(UsageError, match="is there twice"):
        parse(text)


@pytest.mark.parametrize(
    ("request_", "resources", "labels", "seats"),
    [
        ("CPU=1", {"CPU": 4.0}, {}, 4),
        ("CPU=3", {"CPU": 8.0}, {}, 2),
        ("CPU=1", {}, {}, 0),
        ("CPU=0.1", {"CPU": 0.3}, {}, 3),
        ("CPU=1,GPU=0.25", {"CPU": 16.0, "GPU": 2.0}, {}, 8),
        ("CPU=1,GPU=1", {"CPU": 16.0}, {}, 0),
        ("CPU=1,memory=4g", {"CPU": 16.0, "memory": 10.0 * 2**30}, {}, 2),
        ("CPU=1,fast=1", {"CPU": 16.0, "fast": 3.0}, {}, 3),
        ("CPU=1,label:zone=a", {"CPU": 2.0}, {"zone": "a"}, 2),
        ("CPU=1,label:zone=a", {"CPU": 2.0}, {"zone": "b"}, 0),
        ("CPU=1,label:zone=a", {"CPU": 2.0}, {}, 0),
        ("CPU=1,label:role=!login", {"CPU": 2.0}, {"role": "login"}, 0),
        ("CPU=1,label:role=!login", {"CPU": 2.0}, {}, 2),
    ],
)
def test_seats_are_counted_by_what_is_scarcest(request_, resources, labels, seats):
    assert parse(request_).seats(resources, labels) == seats


@pytest.mark.parametrize(
    ("gpus", "workers", "share"),
    [(0, 4, 0), (4, 4, 1), (4, 2, 1), (4, None, 1), (2, 4, 1 / 2), (2, 3, 1 / 2), (1, 3, 1 / 3)],
)
def test_every_worker_gets_its_share_of_the_gpus(gpus, workers, share):
    assert Request().shared_by(gpus, workers).gpus == share
    assert parse("GPU=0.1").shared_by(gpus, workers).gpus == 0.1
