"""Detects consecutive failures with one common cause, which are not due to the configurations."""

from __future__ import annotations

import re
from pathlib import Path

from tuning.core.errors import StateError
from tuning.core.records import OWN, TrialOutcome

#: This many consecutive failures with the same cause end a search.
LIMIT = 10


class RunOfFailures:
    """Counts consecutive failures with the same cause, in logical order.

    Args:
        name: name of the search, for the message.
        directory: folder of the search, for the message.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._name, self._directory = name, directory
        self._cause: tuple[str, str] | None = None
        self._count = 0

    def tell(self, outcome: TrialOutcome) -> None:
        """Counts an outcome.

        Raises:
            StateError: it is at least the `LIMIT`-th consecutive failure with the same cause.
        """
        if outcome.failure is None:
            self._cause, self._count = None, 0
            return
        cause = (outcome.failure.kind, _without_numbers(outcome.failure.message))
        self._count = self._count + 1 if cause == self._cause else 1
        self._cause = cause
        if self._count >= LIMIT and outcome.failure.kind not in OWN:
            raise StateError(
                f"{self._count} trials of {self._name} in a row failed alike: {outcome.failure.message}",
                f"see {self._directory / 'logs'}; mend the cause, then run the same command with --retry-failed",
            )


def _without_numbers(message: str) -> str:
    """The message without its numbers, which may differ between occurrences of one cause."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", message)
