"""Whole commands on a small workspace, in processes of their own, as a person runs them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras  # noqa: F401  (on NumPy, before a test names the backend of its workers)
import msgspec
import pytest
from matplotlib.figure import Figure

from stress import toy
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.entries import Entry, OpenedTestSplit, PlannedFinals
from tuning.pipeline import session
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import SearchResult, run_search
from tuning.results import plots
from tuning.results.report import pictures
from tuning.results.runs import RUN_FILES

SPACE = ("--space", "sample_spaces:tiny")
#: Eight trials, some in two brackets, with a promotion; two finalists, one of which may be the baseline: seconds.
SEARCH = (*SPACE, "--name", "s", "--max-epochs", "3", "--top-k", "2", "--seed", "3")


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Running:
    """A command under way."""

    def __init__(self, workspace: Workspace, environment: Mapping[str, str], command: str, *arguments: str) -> None:
        self.workspace = workspace
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tuning.{command}", "--root", str(workspace.root), *arguments],
            env=environment,
            cwd=workspace.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def wait(self, timeout: float = 240) -> Done:
        """Its end; no command shows a traceback."""
        done = self.end(timeout)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def end(self, timeout: float = 240) -> Done:
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Done(self.process.returncode, stdout, stderr)

    def until(self, kind: str, count: int = 1, search: str = "s", timeout: float = 120) -> None:
        """Waits until the search's journal holds so many records of a kind."""
        deadline = time.monotonic() + timeout
        while len(records(self.workspace, kind, search)) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, f"no {kind} yet"
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Processes on this machine that were started as workers of this command."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "tuning.engine.executors.worker" in words and str(self.process.pid) in words:
                found.append(int(folder.name))
        return found


def records(workspace: Workspace, kind: str, search: str = "s") -> list[dict]:
    """The records of a kind in a search's journal."""
    found = journal.read(workspace.search(search) / "journal.jsonl")
    return [record for record in map(msgspec.to_builtins, found) if record["type"] == kind]


def rewrite_journal(workspace: Workspace, entries: Iterable[Entry]) -> None:
    """Leaves a search's journal that holds these entries and no others."""
    path = workspace.search("s") / "journal.jsonl"
    path.unlink()
    with journal.Journal(path) as rewritten:
        for entry in entries:
            rewritten.append(entry)


def before_its_finals(workspace: Workspace, target: Path, decided: Iterable[Entry]) -> Workspace:
    """A copy of a workspace as it was before the search's first final training, with these decisions journaled."""
    other = Workspace(target)
    shutil.copytree(workspace.root, other.root)
    shutil.rmtree(other.trials)
    other.leaderboard.unlink()
    entries = journal.read(other.search("s") / "journal.jsonl")
    trials = itertools.takewhile(lambda entry: not isinstance(entry, PlannedFinals | OpenedTestSplit), entries)
    rewrite_journal(other, [*trials, *decided])
    return other


def results(workspace: Workspace) -> dict[str, object]:
    """What must be the same however a search was run: the leaderboard's bytes, and the weights of every run."""
    metrics = {path.parent.name: json.loads(path.read_text()) for path in workspace.trials.glob("*/metrics.json")}
    best = json.loads(workspace.best_model_metrics.read_text())
    return {
        "leaderboard": workspace.leaderboard.read_bytes(),
        "weights": {name: found["weights_sha256"] for name, found in metrics.items()},
        "predictions": {name: found["test"] for name, found in metrics.items()},
        "promoted": best["run_id"],
    }


@pytest.fixture(autouse=True)
def _backend_of_the_workers(monkeypatch):
    # This process itself runs Keras on NumPy.
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


@pytest.fixture
def copied(tmp_path) -> Callable[[Workspace], Workspace]:
    """Copies a workspace, to be written to."""

    def copy(workspace: Workspace) -> Workspace:
        target = tmp_path / f"workspace-{len(os.listdir(tmp_path))}"
        shutil.copytree(workspace.root, target)
        return Workspace(target)

    return copy


@pytest.fixture
def workspace(prepared, copied) -> Workspace:
    """Prepared data, and nothing else."""
    return copied(prepared)


@pytest.fixture
def start(sample_environment) -> Callable[..., Running]:
    """`start(workspace, "search", *arguments)` starts a command; whatever still runs at the end is ended."""
    started: list[Running] = []

    def begin(workspace: Workspace, command: str, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        running = Running(workspace, {**sample_environment, **(env or {})}, command, *arguments)
        started.append(running)
        return running

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


@pytest.fixture
def here(monkeypatch, capsys, sample_spaces) -> Callable[..., Done]:
    """Runs a command in this process; for what ends before any worker is needed."""
    monkeypatch.syspath_prepend(str(sample_spaces))

    def run(workspace: Workspace | None, command: str, *arguments: str) -> Done:
        import importlib

        root = () if workspace is None else ("--root", str(workspace.root))
        code = importlib.import_module(f"tuning.{command}").main([*root, *arguments])
        done = Done(code, *capsys.readouterr())
        assert "Traceback" not in done.stderr
        return done

    return run


#: What a search with toys for trials is told, unless a test says otherwise. In this process, where no worker is needed.
TOY = {
    "space": "stress.tiny_cnn:build_model",
    "strategy": "random",
    "max_epochs": 3,
    "max_trials": 5,
    "dtype": "float32",
    "search_only": True,
    "resources": Resources(executor="inline"),
}


def toys_instead(patch: pytest.MonkeyPatch, sample_environment: Mapping[str, str], seconds: float = 0) -> None:
    """Has toys in the place of trials and final trainings, each epoch of which takes so many seconds."""
    patch.setattr(session, "WORK", "stress.toy:run")
    patch.setenv("KERAS_BACKEND", "tensorflow")
    patch.setenv("PYTHONPATH", sample_environment["PYTHONPATH"])
    patch.setenv(toy.SECONDS, str(seconds))


def _small_figures(*_: Any) -> dict[str, Figure]:
    return {name: Figure(figsize=(0.1, 0.1)) for name in RUN_FILES if name.endswith(".png")}


@pytest.fixture
def toys(monkeypatch, sample_environment) -> tuple[str, ...]:
    """Has toys in the place of trials; these are the options with which `here` runs them in this process."""
    toys_instead(monkeypatch, sample_environment)
    return ("--executor", "inline")


@pytest.fixture
def toy_search(workspace, monkeypatch, sample_environment) -> Callable[..., SearchResult]:
    """`toy_search("name", strategy="random", …)` runs a search whose trials are toys, in the workspace or another one.

    Its pictures are tiny: drawing them takes ten times as long as all the rest.
    """
    toys_instead(monkeypatch, sample_environment)
    monkeypatch.setattr(plots, "run_figures", _small_figures)
    monkeypatch.setattr(pictures, "pictures", lambda history, importances, title: {})

    def run(name: str, root: Workspace = workspace, **given: Any) -> SearchResult:
        return run_search(root, name=name, **{**TOY, **given})

    return run


@pytest.fixture(scope="session")
def finished(prepared, sample_environment, made_once) -> Workspace:
    """A finished search with one worker, in two steps: the trials, then, by another command, all the rest."""

    def make(folder: Path) -> None:
        workspace = Workspace(folder)
        shutil.copytree(prepared.root, workspace.root, dirs_exist_ok=True)
        first = Running(workspace, sample_environment, "search", *SEARCH, "--workers", "1", "--search-only").wait()
        assert first.code == 0, first.stderr
        assert len(records(workspace, "ask")) == 8
        assert records(workspace, "test-opened") == []
        assert list(workspace.trials.iterdir()) == []
        assert not workspace.best_model.exists()
        trained = [record["key"] for record in records(workspace, "attempt")]
        second = Running(workspace, sample_environment, "search", *SEARCH, "--workers", "1").wait()
        assert second.code == 0, second.stderr
        later = [record["key"] for record in records(workspace, "attempt")][len(trained) :]
        assert all(key.startswith("final/") for key in later)

    return Workspace(made_once("finished", make))
