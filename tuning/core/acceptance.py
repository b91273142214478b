"""What a search may go on with although results depend on it: `--accept`."""

from __future__ import annotations

from tuning.core.errors import UsageError

#: What `--accept` may name -> the field whose change it lets pass.
ACCEPTABLE = {"code": "space_digest", "versions": "versions"}


def acceptable(text: str | None) -> frozenset[str]:
    """The fields whose changes `--accept` lets pass.

    Raises:
        UsageError: it names something else.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if unknown := [word for word in words if word not in ACCEPTABLE]:
        raise UsageError(f"--accept is {', '.join(map(repr, unknown))}", f"use {' or '.join(ACCEPTABLE)}, or both")
    return frozenset(ACCEPTABLE[word] for word in words)
