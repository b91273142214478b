"""Commands that cannot do what was asked: one line, a remedy, the exit code, and no worker started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from search_spaces import SPACES
from tuning.core.findings import FAULT
from tuning.core.workspace import Workspace
from tuning.dataset.preparation import prepare_dataset
from tuning.engine.dispatch import JobFailed
from tuning.engine.entries import OpenedTestSplit, Spent
from tuning.engine.journal import Journal
from tuning.oracles import STRATEGIES
from tuning.pipeline.resources import Resources
from tuning.pipeline.session import opened
from tuning.pipeline.settings import train_settings
from tuning.results import integrity

from .conftest import SEARCH, SPACE, records, results


@pytest.mark.parametrize("command", ["search", "train"])
def test_in_an_empty_folder_a_command_says_what_to_do_and_makes_no_folders(tmp_path, here, command):
    done = here(Workspace(tmp_path), command)
    assert done.code == 3
    assert "there is no workspace" in done.stderr
    assert f"python -m tuning.prepare --root {tmp_path} --raw" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_without_prepared_data_a_search_says_what_to_do(tmp_path, here):
    (tmp_path / "data").mkdir()
    done = here(Workspace(tmp_path), "search")
    assert done.code == 3
    assert "no prepared data" in done.stderr
    assert "python -m tuning.demo" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize("space", ["resnet", "no_such_module:build"])
def test_an_unknown_space_is_refused(workspace, here, command, space):
    done = here(workspace, command, "--space", space)
    assert done.code == 2
    assert space in done.stderr
    if ":" not in space:
        assert all(name in done.stderr for name in SPACES)
    assert list(workspace.searches.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--strategy", "grid"), list(STRATEGIES)),
        (("--max-epochs", "0"), ["--max-epochs", "1 or more"]),
        (("--factor", "1"), ["--factor", "2 or more"]),
        (("--max-trials", "-1"), ["--max-trials"]),
        (("--top-k", "0"), ["--top-k"]),
        (("--executions", "0"), ["--executions", "1 or more"]),
        (("--workers", "0"), ["--workers"]),
        (("--budget", "soon"), ["--budget", "45m"]),
        (("--budget", "0m"), ["--budget"]),
        (("--name", "../elsewhere"), ["--name", "letters"]),
        (("--name", "_mine"), ["--name", "letters"]),
        (("--base-license", "CC0"), ["--base-license", "--base MODEL"]),
        (("--trial-timeout", "nan"), ["--trial-timeout", "1 or more"]),
        (("--min-epochs", "9", "--max-epochs", "3"), ["--min-epochs"]),
        (("--strategy", "random", "--min-epochs", "2"), ["--min-epochs", "random"]),
        (("--strategy", "random", "--factor", "4"), ["--factor is 4", "random"]),
        (("--ray-address", "auto"), ["--executor ray"]),
        (("--try", "rate"), ["--try", "NAME=VALUE"]),
        (("--from-search", "nothing"), ["'nothing'", "run one first"]),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(workspace, here, arguments, said):
    done = here(workspace, "search", *arguments)
    assert done.code == 2
    assert all(text in done.stderr for text in said)
    assert list(workspace.searches.iterdir()) == []


@pytest.mark.parametrize("command", [("search", *SEARCH), ("search", *SEARCH, "--dry-run"), ("train",)])
def test_a_damaged_run_is_met_before_anything_is_trained(workspace, here, command):
    """It would refuse the leaderboard, and with it the promotion, in the end."""
    workspace.run("other").mkdir(parents=True)
    (workspace.run("other") / "metrics.json").write_text("{")
    done = here(workspace, *command)
    assert (done.code, "other/metrics.json" in done.stderr) == (3, True), done
    assert "move it out of artifacts/trials" in done.stderr
    assert list(workspace.searches.iterdir()) == [] and not (workspace.art / "work").exists()


def test_a_root_that_is_a_file_is_refused(tmp_path, here):
    path = tmp_path / "file"
    path.write_text("")
    done = here(Workspace(path), "search")
    assert done.code == 3
    assert str(path) in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/proc refuses new folders, even to root")
@pytest.mark.parametrize("command", ["search", "train"])
def test_a_workspace_that_cannot_be_written_is_refused(here, command):
    done = here(Workspace(Path("/proc/workspace")), command)
    assert done.code == 3
    assert "/proc/workspace" in done.stderr


@pytest.mark.parametrize("reference", ["hyperband", "nothing/0001", "/", "s/"])
def test_a_trial_that_is_not_there_is_refused(workspace, here, reference):
    done = here(workspace, "train", "--from-trial", reference)
    assert done.code == 2
    assert "SEARCH/TRIAL" in done.stderr or "there is no search" in done.stderr


@pytest.mark.parametrize("text", ["units", "=3"])
def test_a_hyperparameter_without_a_value_is_refused(workspace, here, text):
    done = here(workspace, "train", "--hp", text)
    assert done.code == 2
    assert "NAME=VALUE" in done.stderr


# A search that has begun ---------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.slow
class TestBegun:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--seed", "4"), ["seed was 3, now 4"]),
            (("--max-epochs", "9"), ["max_epochs was 3, now 9"]),
            (("--top-k", "1", "--retrain-epochs", "5"), ["top_k was 2, now 1", "retrain_epochs was 3, now 5"]),
            (("--strategy", "random"), ["strategy was 'hyperband', now 'random'"]),
            (("--space", "sample_spaces:hp_only"), ["space was 'sample_spaces:tiny'"]),
            (("--early-stopping", "2"), ["early_stopping was None, now 2"]),
            (("--executions", "2"), ["executions was 1, now 2"]),
        ],
    )
    def test_other_settings_are_refused_with_the_differences(self, finished, copied, here, arguments, said):
        workspace = copied(finished)
        before = results(workspace)
        done = here(workspace, "search", *SEARCH, *arguments)
        assert done.code == 3
        assert all(text in done.stderr for text in said)
        assert "\\n" not in done.stderr
        assert "--fresh" in done.stderr
        assert "--name" in done.stderr
        assert results(workspace) == before

    def test_other_data_are_refused(self, finished, copied, here):
        workspace = copied(finished)
        prepare_dataset(workspace, workspace.raw, image_size=16)
        done = here(workspace, "search", *SEARCH)
        assert done.code == 3
        assert "the prepared data or its split was " in done.stderr

    def test_other_code_of_the_space_is_refused(self, finished, copied, start, sample_spaces, sample_environment):
        workspace = copied(finished)
        changed = workspace.root / "code"
        changed.mkdir()
        text = (sample_spaces / "sample_spaces.py").read_text()
        other = text.replace('hp.Int("units", 4, 32, default=8)', 'hp.Int("units", 4, 32, default=9)')
        assert other != text
        (changed / "sample_spaces.py").write_text(other)
        path = sample_environment["PYTHONPATH"].split(os.pathsep)[0]
        done = start(workspace, "search", *SEARCH, env={"PYTHONPATH": os.pathsep.join([path, str(changed)])}).wait()
        assert done.code == 3
        assert "the code of the search space was " in done.stderr

    @pytest.mark.parametrize("more", [(), ("--fresh",)])
    def test_a_second_process_is_refused_naming_the_first(self, finished, copied, here, more):
        workspace = copied(finished)
        with Journal(workspace.search("s") / "journal.jsonl"):
            done = here(workspace, "search", *SEARCH, *more)
        assert done.code == 3
        assert f"process {os.getpid()} on " in done.stderr
        assert len(list(workspace.searches.iterdir())) == 1

    def test_a_trial_of_it_that_is_not_there_is_refused_with_those_that_are(self, finished, copied, here):
        done = here(copied(finished), "train", "--from-trial", "s/9999")
        assert done.code == 2
        assert "0000, 0001" in done.stderr


OWN = """
import sample_spaces

def build(hp, input_shape, num_classes):
    return sample_spaces.tiny(hp, input_shape, num_classes)
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_data_prepared_anew_end_a_running_search_which_goes_on_once_they_are_back(workspace, finished, start):
    running = start(workspace, "search", *SEARCH, "--workers", "1")
    running.until("result", 3)
    prepare_dataset(workspace, workspace.raw, image_size=32)
    done = running.wait()
    assert done.code == 3
    assert "were prepared anew" in done.stderr and "--fresh" in done.stderr
    prepare_dataset(workspace, workspace.raw, image_size=24)
    done = start(workspace, "search", *SEARCH, "--executor", "inline").wait()
    assert done.code == 0, done.stderr
    assert results(workspace) == results(finished)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_worker_that_would_import_other_code_ends_the_search(workspace, start):
    (workspace.root / "own.py").write_text(OWN)
    running = start(workspace, "search", *SEARCH, "--space", "own:build", "--workers", "1", "--max-epochs", "9")
    running.until("result", 2)
    (workspace.root / "own.py").write_text(OWN + "\n# edited meanwhile\nsample_spaces.tiny = None\n")
    running.until("result", len(records(workspace, "result")) + 1)  # the worker has imported it and goes on
    (worker,) = running.workers()
    os.kill(worker, signal.SIGKILL)
    done = running.wait()
    assert done.code == 3
    assert "'own:build' was changed while it was in use" in done.stderr
    (workspace.root / "own.py").write_text(OWN)
    again = start(workspace, "search", *SEARCH, "--space", "own:build", "--executor", "inline", "--max-epochs", "9")
    again.until("result", len(records(workspace, "result")) + 1)


#: A search of one trial and no finals.
SHORT = ("--max-trials", "1", "--search-only")


class TestAFinishedSearch:
    """What happens to its folder, and what the next command says."""

    @pytest.fixture
    def workspace(self, finished, copied):
        return copied(finished)

    @pytest.fixture
    def journal(self, workspace):
        return workspace.search("s") / "journal.jsonl"

    def test_lines_that_an_editor_changed_are_kept_and_refused(self, workspace, journal, here):
        journal.write_bytes(changed := journal.read_bytes().replace(b"\n", b"\r\n"))
        page = (workspace.search("s") / "report.html").read_bytes()
        for command in (("search", *SEARCH), ("train", "--from-trial", "s/0001"), ("report", "s")):
            done = here(workspace, *command)
            assert (done.code, "line 1 is damaged" in done.stderr) == (3, True), done
        assert journal.read_bytes() == changed
        assert (workspace.search("s") / "report.html").read_bytes() == page

    def test_a_damaged_journal_does_not_stop_fresh(self, workspace, journal, here, toys):
        journal.write_bytes(changed := b"x" + journal.read_bytes())
        runs = sorted(path.name for path in workspace.trials.iterdir())
        (workspace.trials / runs[0] / "metrics.json").write_text("{")
        done = here(workspace, "search", *SEARCH, *toys, "--fresh", *SHORT)
        assert (done.code, "moved the search of that name aside" in done.stderr) == (0, True), done
        aside = workspace.search("s~1")
        assert (aside / "journal.jsonl").read_bytes() == changed
        assert sorted(path.name for path in (aside / "runs").iterdir()) == runs

    def test_a_lost_journal_is_missed(self, workspace, journal, here):
        journal.unlink()
        done = here(workspace, "search", *SEARCH)
        assert (done.code, "s has no trial in" in done.stderr, "--fresh" in done.stderr) == (3, True, True)

    def test_fresh_takes_the_runs_along_where_the_folder_is_gone(self, workspace, here, toys):
        shutil.rmtree(workspace.search("s"))
        runs = sorted(path.name for path in workspace.trials.iterdir())
        (workspace.trials / "s-notes.txt").write_text("no run")
        done = here(workspace, "search", *SEARCH, *toys, "--fresh", *SHORT)
        assert (done.code, "moved the search of that name aside" in done.stderr) == (0, True), done
        assert sorted(path.name for path in (workspace.search("s~1") / "runs").iterdir()) == runs
        assert [path.name for path in workspace.trials.iterdir()] == ["s-notes.txt"]

    @pytest.mark.parametrize("content", [None, "[]", '{"settings": 5}', '{"settings": {}, "digest": "0"}'])
    def test_lost_or_edited_settings_are_not_made_up(self, workspace, here, content):
        path = workspace.search("s") / "search.json"
        path.unlink()
        if content is not None:
            path.write_text(content)
        done = here(workspace, "search", *SEARCH)
        assert (done.code, "s/search.json" in done.stderr) == (3, True), done
        assert (path.read_text() if path.exists() else None) == content

    def test_what_cannot_be_read_is_no_success_of_a_report(self, workspace, here):
        path = next(workspace.trials.glob("s-*/metrics.json"))
        path.write_text(path.read_text()[:50])
        done = here(workspace, "report", "s", "--json")
        assert (done.code, len(json.loads(done.stdout)["problems"])) == (3, 1)

    def test_a_dry_run_refuses_what_the_search_would(self, workspace, here):
        done = here(workspace, "search", *SEARCH, "--seed", "9", "--dry-run")
        assert (done.code, "seed was 3, now 9" in done.stderr) == (3, True)
        next(workspace.split.glob("train/*/*")).unlink()
        done = here(workspace, "search", *SPACE, "--name", "another", "--dry-run")
        assert (done.code, "(missing)" in done.stderr) == (3, True)
        assert any("(missing)" in finding.detail for finding in integrity.check(workspace) if finding.state == FAULT)

    def test_a_dry_run_leaves_no_folder_behind(self, tmp_path, here):
        assert here(Workspace(tmp_path / "nowhere"), "search", "--dry-run").code == 3
        assert not (tmp_path / "nowhere").exists()


def test_an_opening_of_the_test_split_is_never_forgotten(prepared, tmp_path):
    """A run by itself has no trials; what ended it says nothing about what it did before."""
    settings = train_settings(prepared, epochs=1, dtype="float32")
    opening = OpenedTestSplit(key="final/r", run_id="r", purpose="train")
    for kept, record in ((False, Spent(seconds=1.0)), (True, opening)):
        directory = tmp_path / f"kept-{kept}"
        with pytest.raises(JobFailed), opened(prepared, directory, settings, Resources(workers=1)) as session:
            session.dispatcher.record(record)
            raise JobFailed("the code was changed", "put it back", 3)
        assert (directory / "journal.jsonl").exists() is kept
