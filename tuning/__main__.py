# PYTHON_ARGCOMPLETE_OK
"""Finds the best CNN for a folder of face images: lists the commands, and runs one by its name."""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import os
import sys
from pathlib import Path

from tuning import __version__, cli
from tuning.core.console import through_script
from tuning.core.errors import EXIT_DONE, UsageError
from tuning.core.parsing import Formatter

SCRIPT = "face-tuning"
#: Commands in the order of a first use; commands not named here come last.
_ORDER = (
    "demo",
    "prepare",
    "space",
    "search",
    "train",
    "leaderboard",
    "report",
    "promote",
    "export",
    "predict",
    "doctor",
)
_NO_COMMANDS = ("__init__", "__main__", "cli")


def commands() -> dict[str, str]:
    """Returns command name -> first line of its module's docstring; imports none of the modules."""
    found = {path.stem: path for path in Path(__file__).parent.glob("*.py") if path.stem not in _NO_COMMANDS}
    names = sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return {name: _summary(found[name]) for name in names}


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def options(program: str) -> argparse.ArgumentParser:
    found = commands()
    width = max(map(len, found))
    rows = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in found.items())
    result = argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [--help] [--version] COMMAND …",
        description=(__doc__ or "").partition(":")[0] + ".",
        epilog=f"commands:\n{rows}\n\n`{program} COMMAND --help` describes each. To begin with your own images, run\n"
        f"`{program} prepare --raw PATH`; without any, `{program} demo --root demo-workspace`.\n\n"
        f"{cli.EXIT_CODES}",
        formatter_class=Formatter,
    )
    result.add_argument("--version", action="version", version=f"face-tuning {__version__}")
    # Not an argparse subparser: subparsers would need every command's options, and so all of its imports.
    result.add_argument("command", nargs="?", choices=tuple(found), metavar="COMMAND", help=argparse.SUPPRESS)
    return result


def main(program: str = "python -m tuning") -> int:
    """Runs the command that `sys.argv` names, as `python -m tuning.COMMAND` does; without one, lists the commands."""
    if "_ARGCOMPLETE" in os.environ:
        _complete(program)
    first, *rest = sys.argv[1:] or ["--help"]
    if first in ("-h", "--help", "--version"):
        options(program).parse_args([first])
        return EXIT_DONE
    if first not in commands():
        return cli.refused(_unknown(first, program), as_json="--json" in rest)
    # The command parses its options from `sys.argv`, and quotes the typed line in its messages.
    sys.argv = [f"{program} {first}", *rest]
    return int(importlib.import_module(f"tuning.{first}").main())


def script() -> int:
    """Entry point of the console script."""
    through_script(SCRIPT)
    if not sys.flags.safe_path:
        # As with `python -m`: the user's own model builders are imported from the current folder. If that has been
        # deleted, the command says so.
        with contextlib.suppress(FileNotFoundError):
            sys.path.insert(0, os.getcwd())
    return main(SCRIPT)


def _unknown(name: str, program: str) -> UsageError:
    if name.startswith("-"):
        return UsageError(f"{name} stands before the command", f"give it after it: `{program} COMMAND {name} …`")
    close = difflib.get_close_matches(name.removeprefix("tuning."), commands(), n=1)
    meant = f"did you mean `{program} {close[0]}`? " if close else ""
    return UsageError(f"there is no command {name!r}", f"{meant}`{program}` lists the commands")


def _complete(program: str) -> None:
    """Answers a shell's request for completions: command names; once one is typed, the command answers itself."""
    words = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or sys.maxsize)].split(" ")
    typed = [word for word in words[1:-1] if word]
    if typed and typed[0] in commands():
        # How many words of the line argcomplete counts as the program's name.
        os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + 1)
        sys.argv = [sys.argv[0], typed[0]]
        return
    import argcomplete

    argcomplete.autocomplete(options(program))


if __name__ == "__main__":
    sys.exit(main())
