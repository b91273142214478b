"""The logic of the benchmark of strategies, on a problem defined by a formula instead of real learning curves."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.strategies import __main__ as command
from benchmarks.strategies.peers import PEERS, Recording
from benchmarks.strategies.report import Measured, plot, ranks, table
from benchmarks.strategies.simulator import Job, simulate


class Fixed:
    """A method that asks for jobs of given lengths and recommends the last one that ended."""

    def __init__(self, lengths):
        self.lengths, self.told = list(lengths), []

    def ask(self, worker):
        return Job(len(self.lengths), {"x": self.lengths[0]}, 0, self.lengths.pop(0)) if self.lengths else None

    def tell(self, job, scores):
        self.told.append((job.last, len(scores)))

    def recommend(self):
        return {"x": self.told[-1][0]} if self.told else None


@pytest.fixture
def problem():
    return SimpleNamespace(scores=lambda values: np.arange(51.0), regret=lambda values: 1 / values["x"])


def ran(method, problem, budgets, workers):
    return simulate(method, problem, budgets, workers, lambda job: float(job.last), without=9.0)


def test_what_ends_within_a_budget_counts_and_no_more(problem):
    method = Fixed([2, 4, 10])
    run = ran(method, problem, [1.0, 2.5, 6.0, 15.9], workers=1)
    # Nothing has ended at 1, the first job at 2.5, the second exactly at 6; the third would end at 16.
    assert run.regrets == [9.0, 1 / 2, 1 / 4, 1 / 4]
    assert method.told == [(2, 2), (4, 4)]
    assert run.jobs == 3


def test_workers_train_side_by_side(problem):
    method = Fixed([5, 2, 2])
    run = ran(method, problem, [4.5, 6.0], workers=2)
    assert method.told[:2] == [(2, 2), (2, 2)]
    assert run.regrets == [1 / 2, 1 / 5]


def test_a_peer_is_judged_by_its_best_last_score():
    peer = Recording()
    assert peer.recommend() is None
    for last, score in ((2, 0.5), (51, 0.4), (6, 0.7)):
        peer.note(Job(last, {"last": last}, 0, last), [0.9] * (last - 1) + [score])
    assert peer.recommend() == {"last": 6}


def test_what_is_not_installed_is_left_out():
    known = next(iter(PEERS.values()))
    assert known.installed
    assert not type(known)("no_such_module", "none", known.build).installed


def test_ranks_are_over_tasks_and_ties_share_their_places():
    found = {
        "a": Measured(np.array([[[1.0, 1.0]], [[2.0, 1.0]]]), 0.001),
        # Two seeds on the first task, with a mean of 0.5.
        "b": Measured(np.array([[[0.0, 1.0], [1.0, 1.0]], [[3.0, 1.0], [3.0, 1.0]]]), 0.002),
    }
    assert {name: places.tolist() for name, places in ranks(found).items()} == {"a": [1.5, 1.5], "b": [1.5, 1.5]}
    found["b"] = Measured(np.zeros((2, 1, 2)), 0.002)
    assert {name: places.tolist() for name, places in ranks(found).items()} == {"a": [2, 2], "b": [1, 1]}
    text = table(found, (2, 5)).splitlines()
    assert [line.split()[0] for line in text] == ["method", "b", "a"]
    assert "1.500 ±0.980 (2.0)" in text[2]
    assert "1.000 – (1.0)" in table({"a": Measured(np.ones((1, 1, 1)), 0.001)}, (2,))


def test_the_plot_is_a_picture(tmp_path):
    plot({"auto": Measured(np.ones((2, 3, 2)), 0.001)}, (2, 5), "a title", tmp_path / "regret.png")
    assert (tmp_path / "regret.png").read_bytes().startswith(b"\x89PNG")


def test_methods_measured_before_join_the_table_if_all_else_is_equal(tmp_path):
    about = {"tasks": ["1"], "workers": 1, "window": 1, "budgets": [2]}
    assert command._measured_before(None, about) == {}
    assert command._measured_before(tmp_path, about) == {}
    (tmp_path / command.RESULTS).write_text(json.dumps({**about, "methods": {"random": 1}}))
    assert command._measured_before(tmp_path, about) == {"random": 1}
    assert command._measured_before(tmp_path, {**about, "workers": 8}) == {}


def test_without_the_only_method_asked_for_the_command_says_what_to_install(monkeypatch, capsys):
    from benchmarks.strategies import problem

    monkeypatch.setattr(command.os, "environ", {})  # the command sets variables for its own process
    monkeypatch.setattr(problem, "library", lambda: None)
    monkeypatch.setitem(PEERS, "smac-multi-fidelity", dataclasses.replace(PEERS["smac-multi-fidelity"], module="none"))
    assert command.main(["--methods", "smac-multi-fidelity"]) == 4
    assert capsys.readouterr().err == "left out, not installed: pip install smac\n"
