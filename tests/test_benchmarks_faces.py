"""The benchmark that compares strategies on faces."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import faces
from benchmarks.processes import REPOSITORY, environment


def test_the_best_so_far_counts_epochs_that_had_ended():
    curve = [(10.0, 0.2), (20.0, 0.5), (30.0, 0.4)]
    assert [faces.best_at(curve, moment) for moment in (5, 10, 19, 25, 100)] == [0.0, 0.2, 0.2, 0.5, 0.5]


def test_an_epoch_counts_once_when_it_ended_whoever_trained_it():
    def ask(trial, continues=None):
        return {"type": "ask", "trial": {"trial_id": trial, "continues": continues}}

    def result(key, *scores):
        curve = [{"val_f1_macro": score} for score in scores]
        return {"type": "result", "key": key, "result": {"curve": curve, "seconds": [2.0] * len(curve)}}

    records = [
        (101.0, ask("0")),
        (104.0, result("trial/0", 0.1, 0.2)),
        (105.0, ask("1", "0")),
        (108.0, result("trial/1", 0.1, 0.2, 0.3)),
        (109.0, {"type": "result", "key": "trial/2", "result": {"error": "it failed"}}),
        (112.0, result("final/a", 0.4, None)),
    ]
    assert faces.epochs_of(records, 100.0) == [(2.0, 0.1), (4.0, 0.2), (8.0, 0.3), (10.0, 0.4), (12.0, 0.0)]


def test_the_picture_is_drawn(tmp_path):
    faces.picture({"one": [[(5.0, 0.2)], [(9.0, 0.4)]], "other": [[(2.0, 0.3)]]}, 60, tmp_path / "faces.png")
    assert (tmp_path / "faces.png").read_bytes().startswith(b"\x89PNG")


def test_the_script_of_a_keras_tuner_user_trains_and_writes_its_epochs_down(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 42), ("val", 14)):
        np.save(tmp_path / f"{split}.images.npy", rng.integers(0, 255, (count, 24, 24, 1), np.uint8))
        np.save(tmp_path / f"{split}.labels.npy", np.arange(count) % 7)
    out = tmp_path / "epochs.jsonl"
    process = subprocess.Popen(
        [
            *(sys.executable, str(REPOSITORY / "benchmarks" / "plain_hyperband.py"), str(tmp_path)),
            # With this seed, the first three configurations have plain blocks, whose rate Keras Tuner drops.
            *("--max-epochs", "2", "--seed", "2", "--project", str(tmp_path / "project"), "--out", str(out)),
        ],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if out.exists() and out.read_text().count("\n") >= 2:
                break
            time.sleep(0.2)
        else:
            pytest.fail(process.communicate()[1][-2000:])
    finally:
        process.kill()
        process.communicate()
    entries = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(0 <= entry["val_f1_macro"] <= 1 for entry in entries)
    assert entries[0]["time"] < entries[1]["time"]
