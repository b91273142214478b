"""A small search, told as a search tells it: no training, no worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tuning.core.records import COMPLETED, FAILED, Failure, TrialOutcome, TrialSpec
from tuning.tracking import Subject

SPACE = (
    {"class_name": "Float", "config": {"name": "rate", "min_value": 1e-4, "max_value": 1e-2, "default": 1e-3}},
    {"class_name": "Choice", "config": {"name": "batch_size", "values": [8, 16], "default": 8}},
    {"class_name": "Choice", "config": {"name": "head", "values": ["dense", "average"], "default": "dense"}},
    {"class_name": "Boolean", "config": {"name": "norm", "default": False}},
    {"class_name": "Fixed", "config": {"name": "flip", "value": True}},
)


def values(**more) -> dict:
    return {"rate": 1e-3, "batch_size": 8, "head": "dense", "norm": True, "flip": True, "tuner/bracket": 1, **more}


def curve(*scores: float | None) -> tuple[dict, ...]:
    return tuple({"epoch": n, "loss": 1 / n, "val_f1_macro": score} for n, score in enumerate(scores, 1))


#: Three trials: one that ended well, one that went on from it, one that failed in its second epoch.
TRIALS = [
    (
        TrialSpec("0000", values(), epochs=2),
        TrialOutcome("0000", COMPLETED, 0.3, curve(0.2, 0.3), seconds=(2.0, 1.0)),
    ),
    (
        TrialSpec("0001", values(), epochs=3, initial_epoch=2, continues="0000", root="0000"),
        TrialOutcome("0001", COMPLETED, 0.5, curve(0.2, 0.3, 0.5), seconds=(1.5,)),
    ),
    (
        TrialSpec("0002", values(rate=1e-2)),
        TrialOutcome(
            "0002",
            FAILED,
            curve=curve(None),
            failure=Failure("not-finite", "loss became nan in epoch 2", epoch=2),
            seconds=(1.0,),
        ),
    ),
]


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    directory = tmp_path / "faces"
    directory.mkdir()
    return Subject("faces", directory, directory / "tensorboard", {"seed": 0, "strategy": "hyperband"}, SPACE)


@pytest.fixture
def published(workspace, write_run, stage_run) -> Path:
    """The folder of a published finalist of five epochs, without its pictures."""
    staged = stage_run()
    write_run(staged.run_id, epochs=5)
    folder = workspace.run(staged.run_id)
    for name, content in (("history", staged.history), ("params", staged.params.to_json())):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def trials() -> list[tuple[TrialSpec, TrialOutcome]]:
    return TRIALS


@pytest.fixture
def later() -> Callable[..., tuple[TrialSpec, TrialOutcome]]:
    """later(units=3, space=(…)) is one more trial, with further values."""

    def trial(space: tuple = (), **more) -> tuple[TrialSpec, TrialOutcome]:
        return TrialSpec("0003", values(**more)), TrialOutcome("0003", COMPLETED, 0.1, curve(0.1), space=space)

    return trial
