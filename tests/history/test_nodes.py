"""The machines of a cluster that a search ran on, as its report lists them."""

from __future__ import annotations

from tuning.core.records import Failure
from tuning.engine.entries import Attempt, AttemptDied, Node, Result
from tuning.history.nodes import node_lines

COMPUTES = {"processor": "Some Processor", "oneDNN level": "avx2"}


def test_each_machine_has_its_jobs_and_what_happened_to_it():
    records = [
        Node(n=0, node="two", what="used", computes=COMPUTES),
        Node(n=1, node="one", what="used", computes=COMPUTES),
        Node(n=2, node="three", what="left out", reason="it cannot write"),
        Attempt(n=3, key="trial/0000"),
        Result(n=4, key="trial/0000", fence=3, result={}, node="one"),
        Attempt(n=5, key="trial/0001"),
        Node(n=6, node="two", what="lost", reason="killed"),
        AttemptDied(n=7, key="trial/0001", fence=5, failure=Failure("lost", "gone"), node="two"),
        Node(n=8, node="two", what="returned", computes=COMPUTES),
        Attempt(n=9, key="trial/0001"),
        Result(n=10, key="trial/0001", fence=9, result={}, node="two"),
    ]
    assert node_lines(records) == (
        "one: 1 job; Some Processor, avx2",
        "three: left out: it cannot write",
        "two: 1 job; Some Processor, avx2; lost once, back once",
    )


def test_a_search_on_one_machine_lists_none():
    assert node_lines([Attempt(n=0, key="trial/0000"), Result(n=1, key="trial/0000", fence=0, result={})]) == ()
