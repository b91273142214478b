"""Which runs follow a search, and that several seeds of each end the same however they are run. The work is a toy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stress import toy
from tuning.pipeline.settings import search_settings

from .conftest import results

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _backend_of_the_workers(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


def test_the_budget_and_the_plan_count_every_run(prepared):
    assert search_settings(prepared, top_k=2).final_runs == 3
    assert search_settings(prepared, top_k=2, executions=4).final_runs == 12


SEARCH = """
import sys
from pathlib import Path
from matplotlib.figure import Figure
from tuning.pipeline import session
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search
from tuning.results import plots
from tuning.core.workspace import Workspace

plots.run_figures = lambda metrics, history: {"loss.png": Figure(figsize=(0.1, 0.1))}
session.WORK = "stress.toy:run"
run_search(
    Workspace(Path(sys.argv[1])),
    space="stress.tiny_cnn:build_model",
    name="s",
    max_epochs=2,
    factor=2,
    max_trials=3,
    top_k=2,
    seed=4,
    executions=2,
    dtype="float32",
    resources=Resources(executor=sys.argv[2], workers=int(sys.argv[3])),
)
"""


@pytest.mark.slow
def test_seeds_give_rows_of_their_own_and_the_same_ones_with_any_number_of_workers(
    prepared, copied, sample_environment
):
    ended = []
    for executor, workers in (("inline", 1), ("local", 2)):
        workspace = copied(prepared)
        command = [sys.executable, "-c", SEARCH, str(workspace.root), executor, str(workers)]
        environment = {**sample_environment, "KERAS_BACKEND": "tensorflow", toy.SECONDS: "0"}
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        ended.append(results(workspace))
        card = (workspace.models / "README.md").read_text(encoding="utf-8")
        assert "trained with 2 seeds" in card
    assert ended[0] == ended[1]
    runs = [name for name in sorted(ended[0]["weights"]) if "-ensemble-" not in name]
    assert len(runs) >= 4
    assert [name.rpartition("-s")[2] for name in runs] == ["4", "5"] * (len(runs) // 2)
    # Each seed is a training of its own.
    assert len({ended[0]["weights"][name] for name in runs}) == len(runs)
