from __future__ import annotations

import io

import pytest

from tuning.core import colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "wish", "terminal", "shown"),
    [
        (Terminal(), "", "xterm", True),
        (Terminal(), "1", "xterm", False),
        (Terminal(), "", "dumb", False),
        (io.StringIO(), "", "xterm", False),
    ],
)
def test_colours_are_for_terminals_of_people_who_want_them(monkeypatch, stream, wish, terminal, shown):
    monkeypatch.setenv("NO_COLOR", wish)
    monkeypatch.setenv("TERM", terminal)
    assert colour.shown(stream) is shown


def test_each_kind_has_its_colour_and_what_is_open_has_none():
    painted = {kind: colour.painted("x", kind) for kind in ("good", "tie", "bad", "open")}
    assert painted["open"] == "x"
    assert len(set(painted.values())) == 4
    assert all(text.endswith("x\x1b[0m") for kind, text in painted.items() if kind != "open")
