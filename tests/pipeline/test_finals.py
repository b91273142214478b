"""Which runs follow a search, and that several seeds of each end the same however they are run. The work is a toy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stress import toy
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline import finals as stage
from tuning.pipeline.completed import with_recommended
from tuning.pipeline.settings import search_settings

from .conftest import results

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DEFAULTS = {"rate": 0.1}


@pytest.fixture(autouse=True)
def _backend_of_the_workers(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


def runs_of(search, space, seed, epochs, ranked, baselines, top_k, executions=1):
    """The finals with all their seeds."""
    roles = stage.final_roles(search, space, seed, epochs, ranked, baselines, top_k)
    return stage.final_runs(roles, seed, executions)


def ranked(*rates: float) -> list:
    return [(RankedTrial(f"{n:04d}", 9, 1 - n / 10), {"rate": rate, "tuner/epochs": 9}) for n, rate in enumerate(rates)]


def test_every_finalist_and_the_baseline_are_run_with_every_seed():
    finals = runs_of("s", "space", 5, 9, ranked(0.3, 0.4, 0.5), [DEFAULTS], top_k=2, executions=3)
    assert [(final.purpose, final.rank, final.seed) for final in finals] == [
        *(("finalist", 1, seed) for seed in (5, 6, 7)),
        *(("finalist", 2, seed) for seed in (5, 6, 7)),
        *(("baseline", None, seed) for seed in (5, 6, 7)),
    ]
    assert [final.run_id.rpartition("-s")[2] for final in finals] == ["5", "6", "7"] * 3
    assert len({final.run_id for final in finals}) == len({final.key for final in finals}) == 9
    once = runs_of("s", "space", 5, 9, ranked(0.3, 0.4, 0.5), [DEFAULTS], top_k=2)
    assert once == [final for final in finals if final.seed == 5]


def test_a_baseline_among_the_best_is_run_once_with_each_seed():
    finals = runs_of("s", "space", 0, 9, ranked(0.3, 0.1), [DEFAULTS], top_k=2, executions=2)
    assert [(final.purpose, final.rank, final.seed) for final in finals] == [
        ("finalist", 1, 0),
        ("finalist", 1, 1),
        ("baseline", 2, 0),
        ("baseline", 2, 1),
    ]


def test_a_baseline_with_values_that_its_build_never_read_is_the_baseline():
    best_first = [*ranked(0.3), (RankedTrial("0000", 9, 0.2), {**DEFAULTS, "units": 64, "tuner/epochs": 9})]
    finals = runs_of("s", "space", 0, 9, best_first, [DEFAULTS, {**DEFAULTS, "units": 64}], top_k=2)
    assert [(final.purpose, final.trial) for final in finals] == [("finalist", "0000"), ("baseline", "0000")]


def test_what_the_strategy_recommends_is_among_the_finalists_where_there_are_several():
    best_first = ranked(0.1, 0.2, 0.3, 0.4)
    assert with_recommended(best_first, "0003", 3) == [*best_first[:2], best_first[3]]
    assert with_recommended(best_first, "0003", 1) == best_first[:1]
    for among in ("0000", "0002", None, "0099"):
        assert with_recommended(best_first, among, 3) == best_first[:3]


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
