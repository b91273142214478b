"""Which runs follow a search, and that several seeds of each end the same however they are run. The work is a toy."""

from __future__ import annotations

from functools import partial

import pytest

from tuning.core.progress import Silent
from tuning.pipeline import finals, search
from tuning.pipeline.resources import Resources
from tuning.pipeline.settings import search_settings
from tuning.results.closing import second_seed
from tuning.results.runs import read_runs

from .conftest import results


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


class Listening(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_the_bar_counts_what_is_still_to_be_trained_and_nothing_is_said_of_more(toy_search, monkeypatch):
    totals, first, second = [], Listening(), Listening()

    class Noting(finals.FinalsReporter):
        def __init__(self, progress, epochs, *rest):
            totals.append(epochs)
            super().__init__(progress, epochs, *rest)

    monkeypatch.setattr(finals, "FinalsReporter", Noting)
    given = {"max_trials": 2, "top_k": 1, "retrain_epochs": 4, "search_only": False}
    runs = len([run for run in toy_search("s", **given, progress=first).runs if "-ensemble-" not in run])
    toy_search("s", **given, progress=second)
    assert totals == [4 * runs, 0]
    assert [sum("then the test" in line for line in one.said) for one in (first, second)] == [1, 0]


class Interrupting:
    """Interrupts a search as soon as one of its final trainings has ended."""

    def __init__(self, finals: int) -> None:
        self._finals = finals

    def is_off_schedule(self, pending, done, seconds) -> bool:
        if len(pending) < self._finals:
            raise KeyboardInterrupt
        return False


def test_a_run_is_published_as_soon_as_it_has_ended(toy_search, workspace, copied, monkeypatch):
    given = {"search_only": False, "top_k": 2, "ensemble": False}
    other = copied(workspace)
    runs = toy_search("s", other, **given).runs
    with monkeypatch.context() as patch:
        patch.setattr(search, "run_finals", partial(search.run_finals, watch=Interrupting(len(runs))))
        with pytest.raises(KeyboardInterrupt):
            toy_search("s", **given)
    (first,) = read_runs(workspace)
    assert first.run_id in runs
    assert toy_search("s", **given).runs == runs
    assert results(workspace) == results(other)


def test_files_that_a_kill_left_after_they_were_published_are_cleared_away(toy_search, workspace):
    run_id, *_ = toy_search("s", search_only=False, ensemble=False).runs
    left = workspace.search("s") / "staging" / run_id
    left.mkdir(parents=True)
    (left / "model.keras").touch()
    left.with_name(f"{run_id}.opened").touch()
    toy_search("s", search_only=False, ensemble=False)
    assert list(left.parent.iterdir()) == []


def test_the_line_that_a_search_names_last_makes_seeds_known_for_a_builder_of_one_s_own(toy_search, workspace, here):
    result = toy_search("s", search_only=False)
    line = second_seed(workspace, result.runs)
    assert line.startswith("python -m tuning.train ") and " --seed 1 " in line
    done = here(workspace, "train", *line.split()[3:])
    assert done.code == 0, done.stderr
    assert second_seed(workspace, result.runs) is None
