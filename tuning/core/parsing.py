"""Command-line parsing: errors with a remedy, and help that fits the terminal, the most used options first."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

#: Maximum width of help in characters, however wide the terminal is.
WIDEST = 100
#: Beginnings of the entries of a paragraph with hanging indents: what a command reads and writes.
_HANGING = ("reads  ", "writes ")

_Namespace = TypeVar("_Namespace")


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like all others, and whose help ends with the options common to all commands.

    Args:
        refuse: called with the arguments, the problem and a remedy; ends the process.
        last: titles of the groups of options that are shown last, in this order.
    """

    def __init__(
        self, refuse: Callable[[Sequence[str], str, str], NoReturn], last: Sequence[str], **given: object
    ) -> None:
        self._refuse, self._last = refuse, ["", *last]
        self._given: Sequence[str] = ()
        super().__init__(formatter_class=Formatter, **given)  # type: ignore[arg-type]

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: _Namespace | None = None
    ) -> tuple[argparse.Namespace | _Namespace, list[str]]:
        self._given = sys.argv[1:] if args is None else args
        for before, word in zip(["", *self._given], self._given, strict=False):
            name, equals, value = word.partition("=") if word else (before, "=", "")
            if name.startswith("--") and equals and not value:
                self._refuse(self._given, f"{name} is empty", "give a value, or leave it out: is a variable not set?")
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        titles = [group.title if group.title in self._last else "" for group in self._action_groups]
        order = sorted(range(len(titles)), key=lambda place: self._last.index(titles[place] or ""))
        self._action_groups[:] = [self._action_groups[place] for place in order]
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        see, unknown = f"see {self.prog} --help", self._unknown()
        if unknown is None:
            self._refuse(self._given, message, see)
        close = difflib.get_close_matches(unknown, self._long_options(), n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        self._refuse(self._given, f"there is no option {unknown}", meant + see)

    def _unknown(self) -> str | None:
        """The first option on the command line that is not the beginning of any of this command's options."""
        for word in self._given:
            if word == "--":
                return None
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in self._long_options()):
                return name
        return None

    def _long_options(self) -> list[str]:
        return [option for option in self._option_string_actions if option.startswith("--")]


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Wraps help at words. Paragraphs are refilled; indented lines, such as commands, are kept as far as they fit."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 26, width: int | None = None):
        width = width or min(WIDEST, shutil.get_terminal_size().columns) - 1
        super().__init__(prog, indent_increment, max_help_position, width)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _filled(" ".join(text.split()), width).splitlines()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(_paragraph(part.strip("\n"), width) for part in text.split("\n\n"))


def _paragraph(text: str, width: int) -> str:
    lines = text.splitlines()
    if text.startswith(_HANGING):
        return "\n".join(_hanging(lines, width))
    if not any(line.startswith(" ") for line in lines):
        return _filled(" ".join(lines), width)
    return "\n".join(_kept(line, width) for line in lines)


def _hanging(lines: Sequence[str], width: int) -> list[str]:
    """Fills the entries `reads   …` and `writes  …`, with their continuation lines indented."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(_HANGING):
            entries.append(line)
        else:
            entries[-1] += f" {line.strip()}"
    return [_filled(entry, width, " " * 8) for entry in entries]


def _kept(line: str, width: int) -> str:
    """An indented line, unchanged if it fits; else its comment is put above it, and the rest is wrapped."""
    if len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    command, mark, comment = line.partition("  # ")
    if mark:
        above = _filled(f"{indent}# {comment.strip()}", width, f"{indent}# ")
        return f"{above}\n{_kept(command.rstrip(), width)}"
    first, gap, rest = line.strip().partition("  ")
    if gap and not first.startswith(("python ", "face-tuning ")):
        # A table row: its second column keeps its indent.
        return _filled(line, width, " " * (len(line) - len(rest.lstrip())))
    if first.startswith(("python ", "face-tuning ", "find ", "curl ")):
        *before, last = _filled(line, width - 2, f"{indent}    ").splitlines()
        return "\n".join([*(f"{part} \\" for part in before), last])
    return _filled(line, width, f"{indent}  ")


def _filled(text: str, width: int, hanging: str = "") -> str:
    return textwrap.fill(
        text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
