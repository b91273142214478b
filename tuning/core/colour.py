"""Colours in a terminal, and only there: what is good, undecided or bad."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"good": "32", "tie": "33", "bad": "31"}


def shown(stream: TextIO) -> bool:
    """Whether a person sees colours on a stream: a terminal that has some, and no wish against them (NO_COLOR)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, kind: str) -> str:
    """`text` in the colour of a kind: "good" green, "tie" yellow, "bad" red; any other kind as it is."""
    code = _CODES.get(kind)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"
