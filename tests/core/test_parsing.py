"""Refusals of the command line, and help that fits."""

from __future__ import annotations

import importlib
import json

import pytest

from tuning import __main__, cli

COMMANDS = sorted(__main__.commands())


def refused(capsys, command: str, *argv: str) -> str:
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(f"tuning.{command}").options().parse_args(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "argv", "meant"),
    [
        ("search", ["--stratgy", "random"], "--strategy"),
        ("search", ["--stratgy=random"], "--strategy"),
        ("search", ["--max_epochs", "3"], "--max-epochs"),
        ("predict", ["--modle", "x.keras"], "--model"),
        ("predict", ["face.jpg", "--topk", "2"], "--top-k"),
        ("search", ["--no-ensembel"], "--no-ensemble"),
    ],
)
def test_a_mistyped_option_is_told_what_it_may_mean(command, argv, meant, capsys):
    typed = next(word for word in argv if word.startswith("--")).partition("=")[0]
    text = refused(capsys, command, *argv)
    assert text == (
        f"error: there is no option {typed}\n  → did you mean {meant}? see python -m tuning.{command} --help\n"
    )


def test_what_is_like_nothing_gets_no_guess(capsys):
    assert refused(capsys, "search", "--xyzzy") == (
        "error: there is no option --xyzzy\n  → see python -m tuning.search --help\n"
    )
    # What is no option, and what is one whose value is wrong, is said as argparse says it.
    assert "unrecognized arguments: surplus" in refused(capsys, "search", "surplus")
    assert "--executor" in refused(capsys, "search", "--executor", "locl")
    assert "ambiguous" in refused(capsys, "search", "--max", "3")
    assert "unrecognized arguments" in refused(capsys, "search", "--", "--stratgy")


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("prepare", ["--raw", "faces", "--group-by", ""]),
        ("prepare", ["--root", "", "--quiet"]),
        ("search", ["--budget="]),
        ("train", ["--from-trial", ""]),
        ("train", ["--hp", ""]),
        ("predict", ["--model=", "face.jpg"]),
    ],
)
def test_a_variable_that_is_not_set_is_no_value(command, argv, capsys):
    option = next(before for before, word in zip(argv, [*argv[1:], ""], strict=True) if not word or before[-1:] == "=")
    text = refused(capsys, command, *argv)
    assert f"error: {option.rstrip('=')} is empty\n" in text and "is a variable not set?" in text


def test_the_hint_is_in_json_too(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("tuning.search").options().parse_args(["--stratgy", "x", "--json"])
    assert json.loads(capsys.readouterr().out)["remedy"].startswith("did you mean --strategy?")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_at_words_and_fits(command, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = importlib.import_module(f"tuning.{command}").options().format_help()
    lines = text.splitlines()
    # A word alone may be longer.
    assert [line for line in lines if len(line) >= columns and len(line.split()) > 1] == []
    assert not any(line.endswith("-") and not line.endswith(" -") for line in lines)
    assert lines[0].startswith(f"usage: python -m tuning.{command} [OPTION …]")
    # What every command has comes after what is this command's own.
    assert text.index("options:") < text.index("every command:") < text.index("exit codes:")


def test_a_command_that_does_not_fit_can_still_be_copied(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    doc = """Does.

  python -m tuning.thing --first value --second value --third   # what that is good for
  python -m tuning.thing        # short

One paragraph whose lines were
broken elsewhere.

reads   one thing, and another thing, and one more thing, all of them long
writes  nothing
"""
    text = cli.parser("thing", doc).format_help()
    assert (
        "  # what that is good for\n"
        "  python -m tuning.thing --first value --second value \\\n"
        "      --third\n"
        "  python -m tuning.thing        # short\n"
        "\n"
        "One paragraph whose lines were broken elsewhere.\n"
        "\n"
        "reads   one thing, and another thing, and one more thing,\n"
        "        all of them long\n"
        "writes  nothing\n"
    ) in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_states_every_default(command):
    """Of all that has a value; what is a switch is off until it is given."""
    for action in importlib.import_module(f"tuning.{command}").options()._actions:
        if action.option_strings and (action.nargs != 0 or any(o.startswith("--no-") for o in action.option_strings)):
            assert "(default: " in (action.help or ""), action.option_strings
