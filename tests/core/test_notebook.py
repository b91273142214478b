"""One line of a notebook, replaced by whatever comes next."""

from __future__ import annotations

import sys

import pytest

from tuning.core import notebook
from tuning.core.errors import EnvironmentProblem
from tuning.core.notebook import ProgressLine


@pytest.fixture
def shown(monkeypatch) -> list[tuple[str, str]]:
    """What appeared, in order: ("new" or "replaced", text)."""
    found = []

    class Handle:
        def update(self, content, raw):
            found.append(("replaced", content["text/plain"]))

    def display(content, raw, display_id):
        found.append(("new", content["text/plain"]))
        return Handle()

    monkeypatch.setattr(notebook, "_display", lambda: display)
    monkeypatch.setattr(notebook, "PAUSE", 0)
    return found


def test_there_is_one_line(shown, capsys):
    line = ProgressLine()
    line.say("begins")
    with line.bar(4, "search", "epoch") as bar:
        bar.update(1)
        bar.note("best 0.9")
        bar.update(2)
    line.warn("look here")
    assert shown == [
        ("new", "begins"),
        ("replaced", "search: 25%"),
        ("replaced", "search: 75% · best 0.9"),
        ("replaced", "search: 75% · best 0.9"),
    ]
    assert capsys.readouterr().err == "warning: look here\n"
    line.warn("many words " * 20)
    warned = capsys.readouterr().err
    assert warned.split() == ["warning:", *["many", "words"] * 20]
    assert len(warned.splitlines()) > 1 and max(map(len, warned.splitlines())) <= 95


def test_a_bar_without_an_end_counts(shown):
    with ProgressLine().bar(None, "reading", "files") as bar:
        bar.update(1200)
    assert shown[-1] == ("replaced", "reading: 1200 files")


def test_a_fast_bar_is_not_drawn_at_every_step(shown, monkeypatch):
    monkeypatch.setattr(notebook, "PAUSE", 60)
    with ProgressLine().bar(1000, "reading") as bar:
        for _ in range(1000):
            bar.update()
    assert len(shown) <= 2 and shown[-1][1] == "reading: 100%"


def test_without_ipython_it_says_what_to_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(EnvironmentProblem, match="needs a notebook") as refused:
        ProgressLine().say("hello")
    assert "tuning.Console()" in refused.value.remedy
