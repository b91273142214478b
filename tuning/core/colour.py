"""Colours for good, undecided and bad results, in terminals only."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"good": "32", "tie": "33", "bad": "31"}


def shown(stream: TextIO) -> bool:
    """Whether to write colours to a stream: it is a terminal that supports them, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, kind: str) -> str:
    """`text` in the colour of its kind: "good" green, "tie" yellow, "bad" red; unchanged for any other kind."""
    code = _CODES.get(kind)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"
