"""The help of every command shows examples, what the command reads and writes, and its exit codes."""

from __future__ import annotations

import importlib
import re
import shlex

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


def test_every_line_to_run_is_understood_and_what_is_said_of_it_is_a_comment(help_text):
    whole = re.sub(r" \\\n +", " ", help_text)
    found = [line.strip() for line in re.findall(r"^ +python -m tuning\..*", whole, re.MULTILINE)]
    assert found
    for line in found:
        assert "  " not in line.partition("  # ")[0].rstrip(), line
        words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        importlib.import_module(words[2]).options().parse_args(words[3:])


def test_every_option_is_explained(help_text):
    options = help_text.partition("options:")[2]
    named = re.findall(r"^  (?:-\w, )?(--[\w-]+).*\n?.*", options, re.MULTILINE)
    assert named
    for match in re.finditer(r"^  (-.*)$\n?(.*)", options, re.MULTILINE):
        line, following = match.groups()
        assert re.search(r"\s{2,}\S", line) or following.startswith("   "), line
