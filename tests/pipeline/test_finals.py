"""Which runs follow a search, and that several seeds of each end the same however they are run. The work is a toy."""

from __future__ import annotations

import pytest

from tuning.pipeline.resources import Resources
from tuning.pipeline.settings import search_settings

from .conftest import results


@pytest.fixture(autouse=True)
def _backend_of_the_workers(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


def test_the_budget_and_the_plan_count_every_run(prepared):
    assert search_settings(prepared, top_k=2).final_runs == 3
    assert search_settings(prepared, top_k=2, executions=4).final_runs == 12


def test_seeds_give_rows_of_their_own_and_the_same_ones_with_any_number_of_workers(prepared, copied, toy_search):
    given = {"strategy": "hyperband", "max_epochs": 2, "factor": 2, "max_trials": 3, "top_k": 2, "seed": 4}
    ended = []
    for resources in (Resources(executor="inline"), Resources(workers=2)):
        workspace = copied(prepared)
        toy_search("s", workspace, **given, executions=2, search_only=False, resources=resources)
        ended.append(results(workspace))
        card = (workspace.models / "README.md").read_text(encoding="utf-8")
        assert "trained with 2 seeds" in card
    assert ended[0] == ended[1]
    runs = [name for name in sorted(ended[0]["weights"]) if "-ensemble-" not in name]
    assert len(runs) >= 4
    assert [name.rpartition("-s")[2] for name in runs] == ["4", "5"] * (len(runs) // 2)
    # Each seed is a training of its own.
    assert len({ended[0]["weights"][name] for name in runs}) == len(runs)
