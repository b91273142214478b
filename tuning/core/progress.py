"""Progress reports of long work: lines and a bar, through an object that the caller passes in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Bar(Protocol):
    def update(self, n: float = 1) -> object:
        """Adds `n` finished steps."""

    def reach(self, n: float) -> object:
        """Sets the number of finished steps to `n`."""

    def note(self, text: str) -> object:
        """Sets a short note beside the bar, replacing the previous one."""


class Progress(Protocol):
    """The object through which code below the commands reports progress."""

    def say(self, text: str) -> None:
        """Prints a line of information."""

    def warn(self, text: str) -> None:
        """Prints a warning, a line that the user should not miss."""

    def bar(
        self, total: float | None, description: str, unit: str = "it", noted: bool = False
    ) -> contextlib.AbstractContextManager[Bar]:
        """A progress bar for `total` steps, as a context.

        Args:
            noted: the caller's notes tell the remaining time; otherwise the bar estimates it.
        """


class _NoBar:
    def update(self, n: float = 1) -> None:
        return None

    def reach(self, n: float) -> None:
        return None

    def note(self, text: str) -> None:
        return None


class Silent:
    """A `Progress` that shows nothing: for tests, notebooks and library use."""

    def say(self, text: str) -> None:
        return None

    def warn(self, text: str) -> None:
        return None

    @contextlib.contextmanager
    def bar(self, total: float | None, description: str, unit: str = "it", noted: bool = False) -> Iterator[Bar]:
        yield _NoBar()


SILENT = Silent()
