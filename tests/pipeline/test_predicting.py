"""Predictions for notebooks: what another process said, as a frame. That it labels is for tests/test_notebooks.py."""

from __future__ import annotations

import json
import subprocess

import pandas as pd
import pytest

from tuning.core.errors import DataError, EnvironmentProblem, UsageError
from tuning.core.workspace import Workspace
from tuning.pipeline import predicting
from tuning.pipeline.predicting import predict_frame


@pytest.fixture
def answered(monkeypatch):
    """answered(code, lines, stderr) replaces the process; its calls are kept."""
    calls = []

    def answer(code: int = 0, lines: tuple = (), stderr: str = ""):
        def run(command, input, **options):
            calls.append((command, input, options))
            text = "".join(json.dumps(line) + "\n" for line in lines)
            return subprocess.CompletedProcess(command, code, text.encode(), stderr.encode())

        monkeypatch.setattr(predicting.subprocess, "run", run)
        return calls

    return answer


LABELLED = {"path": "a.png", "labels": [{"label": "happy", "probability": 0.75}, {"label": "sad", "probability": 0.25}]}
UNREAD = {"path": "b.png", "labels": [], "error": "is no image"}


def test_a_row_for_each_image_and_label_in_order(answered, tmp_path):
    calls = answered(3, ({**LABELLED, "error": None}, UNREAD, {**LABELLED, "path": "c.png", "error": None}))
    frame = predict_frame(Workspace(tmp_path), ["a.png", tmp_path / "b.png", "c.png"], "m.keras", top_k=2)
    assert list(frame["path"]) == ["a.png", "a.png", "b.png", "c.png", "c.png"]
    assert list(frame["rank"].fillna(0)) == [1, 2, 0, 1, 2]
    assert frame["label"][0] == "happy" and frame["probability"][1] == 0.25
    assert frame["error"][2] == "is no image" and pd.isna(frame["label"][2])
    ((command, given, options),) = calls
    assert given == b"a.png\0" + bytes(tmp_path / "b.png") + b"\0c.png\0"
    assert command[command.index("--model") + 1] == "m.keras" and "--jsonl" in command
    assert options["env"].get("KERAS_BACKEND") != "numpy"


@pytest.mark.parametrize("one", ["a folder", "path"])
def test_one_path_is_no_list_of_letters(one, answered, tmp_path):
    calls = answered(0, ())
    predict_frame(Workspace(tmp_path), one)
    assert calls[0][1] == one.encode() + b"\0"


@pytest.mark.parametrize(("code", "kind"), [(2, UsageError), (3, DataError), (4, EnvironmentProblem)])
def test_its_errors_come_back_as_they_were(code, kind, answered, tmp_path):
    answered(code, (), "some library talks\nerror: what is wrong\n  → what to do\n")
    with pytest.raises(kind) as caught:
        predict_frame(Workspace(tmp_path), "a.png")
    assert (caught.value.problem, caught.value.remedy) == ("what is wrong", "what to do")


def test_a_real_process_without_a_promoted_model(tmp_path):
    with pytest.raises(DataError) as caught:
        predict_frame(Workspace(tmp_path), "a.png")
    assert "promoted" in caught.value.problem and caught.value.remedy
