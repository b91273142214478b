"""Progress in a notebook: one line that is updated in place."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from tuning.core import output
from tuning.core.errors import EnvironmentProblem
from tuning.core.progress import Bar

#: Seconds between two updates of a bar.
PAUSE = 0.3
#: Characters that about fit into one line of a notebook.
WIDTH = 95


class ProgressLine:
    """A `Progress` for notebooks: messages and the bar share one line; warnings are printed below it and stay.

    Create a new one for each call that takes a `progress`, in the same cell.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def say(self, text: str) -> None:
        self._show(text)

    def warn(self, text: str) -> None:
        # JupyterLab would break long lines within words.
        print(output.wrapped(f"warning: {text}", WIDTH, "python -m tuning."), file=sys.stderr)

    @contextlib.contextmanager
    def bar(self, total: float | None, description: str, unit: str = "it", noted: bool = False) -> Iterator[Bar]:
        bar = _Bar(self, total, description, unit)
        yield bar
        bar.show()

    def _show(self, text: str) -> None:
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = _display()(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def _display() -> Any:
    try:
        from IPython.display import display
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "ProgressLine needs a notebook: IPython is not installed", "use tuning.Console() in its place"
        ) from None
    return display


class _Bar:
    def __init__(self, line: ProgressLine, total: float | None, description: str, unit: str) -> None:
        self._line, self._total, self._description, self._unit = line, total, description, unit
        self._done: float = 0
        self._note = ""
        self._shown = 0.0

    def update(self, n: float = 1) -> None:
        self.reach(self._done + n)

    def reach(self, n: float) -> None:
        """Sets the number of finished steps to `n`."""
        self._done = n
        if time.monotonic() - self._shown >= PAUSE:
            self.show()

    def note(self, text: str) -> None:
        self._note = text

    def show(self) -> None:
        self._shown = time.monotonic()
        done = f"{self._done:.4g} {self._unit}" if not self._total else f"{min(self._done / self._total, 1):.0%}"
        self._line.say(" · ".join(filter(None, [f"{self._description}: {done}", self._note])))
