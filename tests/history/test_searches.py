"""A search is found by its name, and read from its own files."""

from __future__ import annotations

import os

import pytest

from tuning.core import files
from tuning.core.errors import DataError, StateError, UsageError
from tuning.engine import journal
from tuning.history import searches, source


@pytest.fixture
def saved(save, random_search):
    """saved(name) is a random search of four trials on disk."""
    return lambda name="s": save(random_search(4, name=name))


def test_a_search_is_read_whole(workspace, saved):
    directory = saved()
    search = searches.read(workspace, "s")
    assert (search.name, search.directory) == ("s", directory)
    assert search.settings["strategy"] == "random"
    assert search.settings_digest == files.read_json(directory / "search.json", "")["digest"]
    assert [spec.trial_id for spec, _ in search.facts.completed] == ["0000", "0001", "0002", "0003"]
    assert [trial.trial_id for trial in search.history.trials] == [spec.trial_id for spec in search.facts.proposals]


@pytest.mark.parametrize("name", ["other", "", "../searches/s", "s/", "."])
def test_an_unknown_search_is_refused_with_those_there_are(workspace, saved, name):
    with pytest.raises(UsageError) as none:
        searches.read(workspace, name)
    assert "python -m tuning.search" in none.value.remedy
    saved("s"), saved("a")
    with pytest.raises(UsageError) as caught:
        searches.find(workspace, name)
    assert repr(name) in caught.value.problem
    assert caught.value.remedy == "use one of a, s"


def test_many_names_are_cut_short():
    names = [f"s{number}" for number in range(25)]
    assert searches.listed(names).endswith(", s19 and 5 more")
    assert searches.listed([]) == "(there are none yet)"


def test_the_latest_search_is_the_one_whose_journal_was_written_last(workspace, saved):
    with pytest.raises(UsageError, match="there is no search"):
        searches.latest(workspace)
    for name, seconds in (("a", 300), ("b", 500), ("c", 400)):
        os.utime(saved(name) / "journal.jsonl", (seconds, seconds))
    workspace.search("notes").mkdir()
    (workspace.search("notes") / "journal.jsonl").touch()
    assert searches.latest(workspace) == "b"
    assert searches.names(workspace) == ["a", "b", "c"]
    assert [folder.name for folder in searches.folders(workspace)] == ["a", "b", "c", "notes"]


def test_what_is_damaged_is_named(workspace, saved):
    path = saved() / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[4:]]))
    with pytest.raises(StateError, match="line 4 is damaged"):
        searches.read(workspace, "s")
    with pytest.raises(DataError, match="line 4 is damaged"):
        source.check(path.parent)
    path.unlink()
    with pytest.raises(DataError, match="is gone"):
        source.check(path.parent)


def test_a_sound_journal_is_counted_and_its_torn_line_seen(saved):
    directory = saved()
    assert source.check(directory) == source.Soundness(trials=4, jobs=5, done=5, torn=False)
    with (directory / "journal.jsonl").open("ab") as file:
        file.write(b"0123")
    assert source.check(directory) == source.Soundness(trials=4, jobs=5, done=5, torn=True)


def test_a_result_without_its_attempt_is_refused(saved):
    directory = saved()
    record = {"n": 0, "type": "result", "key": "trial/0000", "fence": 7, "result": {}}
    (directory / "journal.jsonl").write_bytes(journal.encode(record))
    with pytest.raises(DataError, match="no open attempt 7"):
        source.check(directory)


def test_evaluations_count_in_every_journal_there_is(workspace):
    def write(folder, data, run_ids):
        folder.mkdir(parents=True)
        files.write_json(folder / "search.json", {"settings": {"data_digest": data}})
        records = [
            {"n": n, "type": "test-opened", "key": f"final/{run_id}", "run_id": run_id, "purpose": "finalist"}
            for n, run_id in enumerate(run_ids)
        ]
        (folder / "journal.jsonl").write_bytes(b"".join(map(journal.encode, records)))

    write(workspace.search("faces"), "d", ["a", "b", "a"])
    write(workspace.search("faces~1"), "d", ["a"])
    write(workspace.art / "work" / "train-1", "e", ["b"])
    workspace.search("begun").mkdir()
    (workspace.search("begun") / "journal.jsonl").touch()
    assert searches.test_evaluations(workspace) == {("d", "a"): 3, ("d", "b"): 1, ("e", "b"): 1}
