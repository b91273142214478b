"""How long work reports its progress: lines and a bar, through an object that the caller passes in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Bar(Protocol):
    def update(self, n: float = 1) -> object:
        """`n` more steps are done."""

    def reach(self, n: float) -> object:
        """`n` steps are done in all."""

    def note(self, text: str) -> object:
        """A few words beside the bar, replacing those before."""


class Progress(Protocol):
    """How code below the commands reports progress."""

    def say(self, text: str) -> None:
        """One line of plain information."""

    def warn(self, text: str) -> None:
        """One line that the user should not miss."""

    def bar(
        self, total: float | None, description: str, unit: str = "it", noted: bool = False
    ) -> contextlib.AbstractContextManager[Bar]:
        """A progress bar for `total` steps, as a context.

        Args:
            noted: its note says how long it still takes; otherwise the bar estimates that.
        """


class _NoBar:
    def update(self, n: float = 1) -> None:
        return None

    def reach(self, n: float) -> None:
        return None

    def note(self, text: str) -> None:
        return None


class Silent:
    """Says nothing: for tests, notebooks and library use."""

    def say(self, text: str) -> None:
        return None

    def warn(self, text: str) -> None:
        return None

    @contextlib.contextmanager
    def bar(self, total: float | None, description: str, unit: str = "it", noted: bool = False) -> Iterator[Bar]:
        yield _NoBar()


SILENT = Silent()
