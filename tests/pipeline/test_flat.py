"""A search that ends because too little is expected of going on: it says so, now and when it is shown again."""

from __future__ import annotations

from tuning.core.progress import Silent
from tuning.pipeline.session import Resources

from .conftest import records


class Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_flat_search_ends_says_why_and_ends_there_however_it_was_interrupted(workspace, toy_search):
    def search(workers=1):
        said = Said()
        result = toy_search(
            "s",
            strategy="bayesian",
            max_trials=60,
            stop_when_flat=True,
            window=2,
            resources=Resources(workers=workers),
            progress=said,
        )
        assert [line for line in said.lines if "is flat" in line] == [
            f"s is flat after {result.trials} trials: no configuration is expected to gain more than another seed "
            "would change (--stop-when-flat)"
        ]
        assert [record["trials"] for record in records(workspace, "flat")] == [result.trials]
        asked = records(workspace, "ask")
        assert len(asked) == result.trials
        return [record["trial"] for record in asked]

    asked = search()
    assert 10 < len(asked) < 60
    journal = workspace.search("s") / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert search() == asked
    assert journal.read_bytes().splitlines(keepends=True)[: len(lines)] == lines
    # As if it had been killed; two trials before its end, and long before.
    for kept in (len(lines) - 8, len(lines) // 2):
        journal.write_bytes(b"".join(lines[:kept]))
        assert search(workers=2) == asked
