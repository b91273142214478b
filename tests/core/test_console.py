"""What a command says while it works, in terminals of several widths and in a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tuning.core import console

REPOSITORY = Path(__file__).resolve().parent.parent.parent

WORK = """
import time
from tuning.core.console import Console
console = Console()
console.say("a line of many words that is longer than the terminal is wide " * 3)
console.say("run python -m tuning.prepare --root /a/rather/long/path --raw /another/path/that/is/long/as/well --seed 5")
with console.bar(TOTAL, "search", "second", noted=NOTED) as bar:
    for n in range(1, 7):
        bar.note("12 min to go · best 0.9123 (trial {0007}) · 12 trials done · 1 failed · 2 running · and more")
        bar.reach(n * 20)
        time.sleep(0.25)
    console.say("said above the bar")
print("done")
"""


def in_terminal(program: str, columns: int) -> str:
    """All that a program writes to a terminal of so many columns."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    reading, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    parts: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(reading, 4096):
                parts.append(data)
        except OSError:  # nobody writes any more
            return

    reader = threading.Thread(target=read)
    reader.start()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**environment, "PYTHONUTF8": "1", "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    reader.join()
    os.close(reading)
    text = b"".join(parts).decode()
    assert done.returncode == 0, text
    return text


def shown(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9]*[A-Z]", "", text)) if line.strip()]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize(("total", "noted"), [(100, True), (100, False), (None, True)])
def test_bar_and_lines_fit_the_terminal(columns, total, noted):
    lines = shown(in_terminal(WORK.replace("TOTAL", str(total)).replace("NOTED", str(noted)), columns))
    command = next(line for line in lines if "tuning.prepare" in line)
    # What can be copied is one line; the terminal breaks it as it shows it.
    assert re.fullmatch(r" *(run )?python -m tuning.prepare .* --seed 5", command)
    assert max(len(line) for line in lines if line != command) <= columns
    bars = [line for line in lines if line.startswith("search:")]
    assert bars and (not noted or all("12 min to go · best" in bar for bar in bars[2:]))
    # No part of a note is cut where leaving it out suffices.
    ends = {60: r"\(trial.*", 80: r"\(trial \{0007\}\)", 120: r"and more"}
    assert not noted or total is None or all(re.search(ends[columns] + "$", bar.rstrip()) for bar in bars[2:])
    assert ("100%" in bars[-1]) is (total is not None)
    assert "said above the bar" in lines and lines[-1] == "done"


def test_what_is_over_leaves_no_time_to_go():
    text = in_terminal(WORK.replace("TOTAL", "100").replace("NOTED", "True"), 80)
    # The last that is done to the bar's line is to clear it.
    rest = text[text.rindex("search:") :]
    assert re.search(r"\r +\rdone", rest)


def test_in_a_file_there_is_a_line_once_in_a_while(capsys):
    now = [0.0]
    told = console.Console(now=lambda: now[0])
    with told.bar(100, "search", "epoch", noted=True) as bar:
        for n in range(1, 51):
            now[0] += 5
            bar.note(f"step {n}")
            bar.update(1)
    with told.bar(None, "labelling", "image") as bar:
        now[0] += console.PACE
        bar.reach(1234)
    assert capsys.readouterr().err.splitlines() == [
        "search: 12%, step 12",
        "search: 24%, step 24",
        "search: 36%, step 36",
        "search: 48%, step 48",
        "labelling: 1234 images",
    ]


def test_quiet_says_nothing(capsys):
    told = console.Console(quiet=True, now=lambda: 1e9)
    with told.bar(2, "steps") as bar:
        bar.update()
    told.say("said")
    told.warn("warned")
    assert capsys.readouterr() == ("", "")
