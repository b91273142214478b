"""Tables and escaped text in GitHub's Markdown. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def escaped(text: str) -> str:
    """Escapes `text` so that nothing in it starts a cell, a tag, a link, code or emphasis, or breaks the line."""
    text = "".join(character for character in " ".join(text.split()) if unicodedata.category(character) != "Cc")
    for character in "\\`*_[]|~":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """Returns a table; the cells must already be Markdown. `right` marks the right-aligned columns (default: none)."""
    marks = ["--:" if flush else ":--" for flush in right] or ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))
