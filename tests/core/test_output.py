"""Output as it may be: without an arrow, closed, or with nobody left who reads it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tuning.core import output

_MAIN = """
import sys
from tuning import cli

def run(args, workspace, console):
    for n in range(2000):
        console.say(f"line {n} → … ×" + 100 * " ")
    open("went-on.txt", "w").close()
    return {"name": "Zoë → 表情"}, "done → Zoë 表情"

sys.exit(cli.main(lambda: cli.parser("x", "Does x."), run, anywhere=True, bare=True))
"""


@pytest.fixture
def ended(tmp_path, sample_environment):
    def run(*arguments, encoding="utf-8", shell="", code=_MAIN):
        (tmp_path / "main.py").write_text(code, encoding="utf-8")
        command = [sys.executable, "main.py", *arguments]
        if shell:
            command = ["bash", "-c", f'"{sys.executable}" main.py {shell}; exit ${{PIPESTATUS[0]}}']
        environment = {**sample_environment, "PYTHONIOENCODING": encoding}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_an_encoding_without_an_arrow_is_no_defect(ended, encoding):
    done = ended(encoding=encoding)
    assert done.returncode == 0
    arrow = "→" if encoding == "utf-8" else "->"
    assert done.stdout.decode(encoding).startswith(f"done {arrow} Zo")
    assert f"line 3 {arrow} " in done.stderr.decode(encoding)
    answer = ended("--json", encoding=encoding)
    assert json.loads(answer.stdout.decode(encoding)) == {"name": "Zoë → 表情"}


def test_bytes_of_a_file_name_that_are_no_utf8_are_spelled_out(ended):
    done = ended(code=_MAIN.replace("Zoë 表情", "caf\\udce9"))
    assert (done.returncode, done.stdout.decode()) == (0, "done → caf\\udce9\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("shell", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&-", 0),
        ("--json >&-", 0),
        ("2>&1 | head -n 1", 141),
        ("2>&1 >/dev/null | head -n 1", 0),
        ("--root 2>&1 | true", 2),
    ],
)
def test_output_that_is_closed_or_goes_away_stops_nothing_and_is_no_success(ended, tmp_path, shell, code):
    done = ended(shell=shell)
    assert done.returncode == code
    assert (tmp_path / "went-on.txt").exists() == (code != 2)
    assert b"Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("shell", ["<&- >&- 2>&-", "<&- 2>&-"])
def test_what_a_library_prints_is_written_into_no_file_of_ours(ended, tmp_path, shell):
    """A file that is opened where the descriptors of a terminal were gets their numbers: a journal, say."""
    code = """
import os
from tuning.core import output
output.use_as_they_are()
files = [os.open(f"{number}.txt", os.O_CREAT | os.O_WRONLY) for number in range(3)]
for descriptor in (1, 2):
    os.write(descriptor, b"from a library of C")
"""
    assert ended(shell=shell, code=code).returncode == 0
    assert [(tmp_path / f"{number}.txt").read_text() for number in range(3)] == ["", "", ""]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("short", "short"),
        ("  one two three four five", "  one two three\n    four five"),
        ("a run-id-with-dashes-in-it b", "a\n  run-id-with-dashes-in-it\n  b"),
        ("  → go on: /venv/bin/python -m x.search --name y", "  → go on:\n    /venv/bin/python -m x.search --name y"),
        ("    python -m x.search --name y", "    python -m x.search --name y"),
        ("\x1b[31msixteen letters.\x1b[0m", "\x1b[31msixteen letters.\x1b[0m"),
        ("\x1b[31mmore than sixteen.\x1b[0m", "\x1b[31mmore than\n  sixteen.\x1b[0m"),
    ],
)
def test_lines_break_at_words_and_commands_stay_whole(line, expected):
    assert output.wrapped(line, 16, "python -m x.") == expected


def test_wide_characters_keep_the_columns_in_line():
    text = output.aligned(["name", "n"], [["快乐", "1"], ["e\u0301mu", "2"]], [False, True])
    assert [output.display_width(each) for each in text.splitlines()] == [7, 7, 7]
