"""Help texts that teach: every command shows lines to run, what it reads, what it writes, and its exit codes."""

from __future__ import annotations

import importlib
import re

import pytest

from tuning.__main__ import commands


@pytest.fixture(params=commands())
def help_text(request, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    return importlib.import_module(f"tuning.{request.param}").options().format_help()


def test_it_shows_what_to_run_and_what_becomes_of_it(help_text):
    assert len(re.findall(r"python -m tuning\.\w+", help_text)) > 1
    assert re.search(r"^reads   \S", help_text, re.MULTILINE)
    assert re.search(r"^writes  \S", help_text, re.MULTILINE)
    assert "exit codes: 0 done" in help_text


def test_every_option_is_explained(help_text):
    options = help_text.partition("options:")[2]
    named = re.findall(r"^  (?:-\w, )?(--[\w-]+).*\n?.*", options, re.MULTILINE)
    assert named
    for match in re.finditer(r"^  (-.*)$\n?(.*)", options, re.MULTILINE):
        line, following = match.groups()
        assert re.search(r"\s{2,}\S", line) or following.startswith("   "), line
