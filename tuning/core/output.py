"""Output to a terminal that may be gone or closed, or whose encoding may lack characters such as arrows."""

from __future__ import annotations

import codecs
import os
import re
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

#: Replacements for characters that an encoding such as cp1252 or ASCII may lack.
_PLAIN = {"→": "->", "…": "...", "×": "x", "·": "-", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "±": "+-"}
_HANDLER = "tuning.plain"
#: The highest of the standard descriptors 0 to 2 (stdin, stdout, stderr).
_STANDARD = 2
#: Blanks between two columns.
GAP = 2
#: A line, with the colour codes around it, if any.
_COLOURED = re.compile(r"^(\x1b\[\d+m|)(.*?)(\x1b\[0m|)$")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("unicode_escape").decode() for c in characters), error.end


codecs.register_error(_HANDLER, _replaced)


def use_as_they_are() -> None:
    """Makes stdout and stderr accept any text: characters that they cannot encode are replaced.

    If one of them is missing, as in `pythonw`, its output is discarded. Missing standard descriptors are opened on
    devnull, so that no file gets one of their numbers, into which a C library would then print.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere())
        elif hasattr(stream, "reconfigure") and (stream.errors == "strict" or not shows(stream, "".join(_PLAIN))):
            # Even UTF-8 cannot encode the surrogates that stand for undecodable bytes of a file name.
            stream.reconfigure(errors=_HANDLER)


def shows(stream: TextIO, text: str) -> bool:
    """Whether a stream's encoding can encode a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError, AttributeError):
        return False
    return True


def say(text: str) -> None:
    """Writes a line to stderr; once that has been closed, discards this line and all later ones."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = _nowhere()


def wrapped(text: str, width: int, command: str) -> str:
    """`text` wrapped at words; the rest of a line from `command` on stays on one line, to be copied.

    Colour codes (see `tuning.core.colour`) do not count towards the width.
    """

    def fitting(line: re.Match[str]) -> str:
        colour, words, end = line.groups()
        return f"{colour}{words if len(words) <= width else _broken(words, width, command)}{end}"

    return "\n".join(_COLOURED.sub(fitting, line, count=1) for line in text.splitlines())


def _broken(line: str, width: int, command: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    place = line.find(command)
    # The path of the Python interpreter before `-m` belongs to the command.
    start = len(line) if place < 0 else line.rfind(" ", 0, place) + 1
    words, rest = line[:start], line[start:]
    lines = textwrap.wrap(
        words, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    if not rest:
        return "\n".join(lines)
    return "\n".join([*lines, f"{indent}{rest}"]) if words.strip() else line


def one_line(text: str) -> str:
    """`text` with control characters escaped, so that a hostile file name cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A text table: columns padded to their widest cell, `GAP` blanks between; `right` says which are right-aligned."""
    widths = [max(map(display_width, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for cells in (header, *rows):
        padded = []
        for text, width, flush in zip(cells, widths, right, strict=True):
            blanks = " " * (width - display_width(text))
            padded.append(blanks + text if flush else text + blanks)
        lines.append((" " * GAP).join(padded).rstrip())
    return "\n".join(lines)


def display_width(text: str) -> int:
    """The terminal columns that `text` takes: two for each wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
