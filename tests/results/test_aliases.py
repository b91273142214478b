"""Two words for a run: always the same, never those of another run of the workspace."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace
from tuning.results import aliases, sources
from tuning.results.aliases import ADJECTIVES, NOUNS, alias, meant


def test_a_run_has_the_same_words_whatever_else_there_is():
    # Written down, so that a change of the words is noticed: people have them in their notes.
    assert alias("h1-ensemble-f421f45d") == "silver-finch"
    ids = [f"baseline_cnn-hyperband-01-t{number:04d}-85cecf7d-s0" for number in range(60)]
    found = aliases.aliases(ids)
    assert set(found) == set(ids)
    for run_id, name in found.items():
        assert meant(name, ids) == [run_id] and meant(run_id, ids) == [run_id]
    assert aliases.aliases(ids[:1]) == {ids[0]: alias(ids[0])}


def test_words_are_short_and_none_is_there_twice():
    assert len({*ADJECTIVES, *NOUNS}) == len(ADJECTIVES) + len(NOUNS)
    assert max(map(len, (*ADJECTIVES, *NOUNS))) <= 7
    assert all(word.isascii() and word.isalpha() and word.islower() for word in (*ADJECTIVES, *NOUNS))


def test_where_two_runs_share_their_words_both_have_longer_names(monkeypatch):
    monkeypatch.setattr(aliases, "ADJECTIVES", ["red"])
    monkeypatch.setattr(aliases, "NOUNS", ["fox", "owl"])
    ids = [f"run-{number}" for number in range(5)]
    found = aliases.aliases(ids)
    assert len(set(found.values())) == 5
    assert {name.count("-") for name in found.values()} != {1}
    for run_id, name in found.items():
        assert meant(name, ids) == [run_id]
        # A longer form than is needed still means it.
        assert run_id in meant(alias(run_id, 6), ids)
    assert len(meant("red-fox", ids)) + len(meant("red-owl", ids)) == 5


@pytest.mark.parametrize("name", ["", "fox", "red-", "a-b-c-d-e-f-g", "no-such", "../run-1"])
def test_other_names_mean_nothing(name):
    assert meant(name, ["run-1", "run-2"]) == []


@pytest.fixture
def workspace(tmp_path, make_run) -> Workspace:
    workspace = Workspace(tmp_path / "w").create()
    for run_id in ("run-1", "run-2"):
        make_run(workspace, run_id)
    return workspace


def test_a_run_is_found_by_its_id_and_by_its_name(workspace, monkeypatch):
    assert sources.find_run(workspace, "run-1") == sources.find_run(workspace, alias("run-1")) == "run-1"
    assert sources.run_source(workspace, alias("run-2")).name == "run-2"
    with pytest.raises(UsageError, match="there is no run 'run-3'") as refused:
        sources.find_run(workspace, "run-3")
    assert f"run-1 ({alias('run-1')})" in refused.value.remedy
    monkeypatch.setattr(aliases, "ADJECTIVES", ["red"])
    monkeypatch.setattr(aliases, "NOUNS", ["fox", *["owl"] * 0])
    with pytest.raises(UsageError, match="red-fox stands for 2 runs"):
        sources.find_run(workspace, "red-fox")
