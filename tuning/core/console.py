"""What a user sees while a command works: messages and one progress bar, on stderr.

In a terminal the bar is one line that fits the width, and messages are printed above it, wrapped at words. In a file or
pipe there is no bar: a plain line reports the progress every `PACE` seconds.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tuning.core import output
from tuning.core.progress import Bar

#: Seconds between progress lines where there is no terminal.
PACE = 60.0
#: tqdm formats: a bar with tqdm's own estimate of the remaining time, one with a note instead, and one without a total.
_COUNTED = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit}s, {remaining} to go"
_NOTED = "{desc}: {percentage:3.0f}%|{bar:10}|"
_OPEN = "{desc}: {n:.4g} {unit}s"

#: Prefix of commands in help and messages; `through_script` changes it.
_spoken = "python -m tuning."


def through_script(name: str) -> None:
    """Makes help and messages say `NAME COMMAND`, as the user typed it, in place of `python -m tuning.COMMAND`."""
    global _spoken
    _spoken = f"{name} "


def as_typed(text: str) -> str:
    """`text` with its commands written the way this process was started."""
    return re.sub(r"python -m tuning\.(?=\w)", lambda _: _spoken, text)


def in_terminal(text: str) -> str:
    """`text` wrapped at words to the terminal's width; commands stay on one line, so that they can be copied."""
    return output.wrapped(text, shutil.get_terminal_size().columns, _spoken)


class Console:
    """The `Progress` of a terminal. Messages go to stderr, so that stdout can be piped."""

    def __init__(self, quiet: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self.quiet, self._now = quiet, now
        self._last_progress = now()

    def say(self, text: str) -> None:
        if not self.quiet:
            self._write(as_typed(text))

    def warn(self, text: str) -> None:
        if not self.quiet:
            self._write(as_typed(f"warning: {text}"))

    @contextlib.contextmanager
    def bar(self, total: float | None, description: str, unit: str = "it", noted: bool = False) -> Iterator[Bar]:
        if self.quiet or not sys.stderr.isatty():
            yield _Lines(self, total, description, unit)
            return
        from tqdm import tqdm

        form = _OPEN if total is None else _NOTED if noted else _COUNTED
        # leave=False: a finished bar disappears, and the results follow.
        with tqdm(
            total=total,
            desc=description,
            unit=unit,
            file=sys.stderr,
            mininterval=0.2,
            smoothing=0.05,
            dynamic_ncols=True,
            leave=False,
            bar_format=form,
        ) as bar:
            yield _TerminalBar(bar, form)

    def progressed(self, text: str) -> None:
        """Prints a progress line unless the last one was printed less than `PACE` seconds ago."""
        if self._now() - self._last_progress >= PACE:
            self._last_progress = self._now()
            self.say(text)

    def _write(self, text: str) -> None:
        if not sys.stderr.isatty():
            output.say(text)
            return
        text = in_terminal(text)
        if "tqdm" not in sys.modules:
            output.say(text)
            return
        # tqdm.write prints above a bar instead of through it.
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


class _TerminalBar:
    """A tqdm bar behind the `Bar` protocol; `form` is its format without the note."""

    def __init__(self, bar: Any, form: str) -> None:
        self._bar, self._form = bar, form

    def update(self, n: float = 1) -> None:
        self.reach(self._bar.n + n)

    def reach(self, n: float) -> None:
        # tqdm drops percentage and total from a bar that exceeds its total.
        most = n if self._bar.total is None else min(n, self._bar.total)
        self._bar.update(most - self._bar.n)

    def note(self, text: str) -> None:
        if self._form == _NOTED and (columns := self._bar.format_dict["ncols"]):
            text = _shortened(text, columns - len(f"{self._bar.desc}: 100%|          | "))
        self._bar.bar_format = f"{self._form} {text.replace('{', '{{').replace('}', '}}')}"


def _shortened(text: str, room: int) -> str:
    """As many whole parts of a note as fit into `room` characters, but at least the first two."""
    parts = text.split(" · ")
    while len(" · ".join(parts)) > room and len(parts) > 2:
        parts.pop()
    return " · ".join(parts)


class _Lines:
    """The `Bar` used without a terminal: prints a line now and then."""

    def __init__(self, console: Console, total: float | None, description: str, unit: str) -> None:
        self._console, self._total, self._description, self._unit = console, total, description, unit
        self._done, self._text = 0.0, ""

    def update(self, n: float = 1) -> None:
        self.reach(self._done + n)

    def reach(self, n: float) -> None:
        self._done = n
        share = f"{n:.4g} {self._unit}s" if not self._total else f"{min(1.0, n / self._total):.0%}"
        self._console.progressed(", ".join(filter(None, [f"{self._description}: {share}", self._text])))

    def note(self, text: str) -> None:
        self._text = text
