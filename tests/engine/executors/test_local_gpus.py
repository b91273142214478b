"""Which GPU each local worker sees."""

from __future__ import annotations

import pytest

from tuning.engine.executors import local


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(None, 0, [None] * 3), (None, 2, ["0", "1", "0"]), ("3", 4, ["3"] * 3), ("5,7", 8, ["5", "7", "5"])],
)
def test_every_worker_gets_a_gpu_of_those_that_are_ours(monkeypatch, given, count, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr("tuning.core.machine.gpus", lambda: ("a GPU",) * count)
    assert [local._own_gpu(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(3)] == expected
