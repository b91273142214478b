"""What all commands share: options, messages, progress bars, and the one boundary where errors become exit codes.

stdout carries results, stderr carries progress and messages. With `--json`, stdout carries one JSON object and nothing
else. No module imported here may import TensorFlow: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import gc
import importlib.util
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tuning.core import interruption, output
from tuning.core.console import Console, as_typed, in_terminal
from tuning.core.errors import (
    EXIT_DONE,
    EXIT_ENVIRONMENT,
    EXIT_INTERNAL,
    EXIT_UNREAD,
    EXIT_USAGE,
    Disconnected,
    EnvironmentProblem,
    Interrupted,
    TuningError,
    UsageError,
)
from tuning.core.options import RARE
from tuning.core.parsing import Parser
from tuning.core.workspace import Workspace

#: `time.monotonic()` at the start of the command; a budget counts from there.
BEGAN = time.monotonic()

# Without this, Python's exit takes half a second longer: it would search the libraries' objects for garbage.
atexit.register(gc.freeze)

_DISK_REMEDIES = {
    errno.ENOSPC: "free some disk space and run the same command again; what was there before is intact",
    errno.EDQUOT: "free some of your disk quota and run the same command again; what was there before is intact",
    errno.EROFS: "the file system is read-only: give a --root that you may write to",
    errno.EACCES: "check the permissions, or give another --root",
    errno.EPERM: "check the permissions, or give another --root",
    errno.EIO: "the disk reports an input/output error: check the disk, then run the same command again",
}

OWN_PACKAGES = ("tuning", "search_spaces", "demo_faces")

EXIT_CODES = """\
exit codes: 0 done · 1 internal error · 2 usage · 3 data, split or search state refused · 4 environment (disk,
permission, missing package) · 5 the budget ended before any trial finished · 130, 143 interrupted, state
saved · 141 output pipe closed by its reader, finished work saved"""


EVERY_COMMAND = "every command"
#: Replaces "error" in the message of a command that a signal has stopped: nothing has gone wrong.
STOPPED = "stopped"


def parser(command: str, doc: str | None, arguments: str = "") -> argparse.ArgumentParser:
    """Returns an argument parser with the options that every command has.

    `doc` is the command module's docstring; its first line says what the command does, the rest is shown below the
    options: lines to run, what it reads, what it writes. `arguments` shows the positional arguments in the usage line.
    """
    summary, _, rest = as_typed(doc or "").strip().partition("\n")
    result = Parser(
        _refuse,
        (RARE, EVERY_COMMAND),
        prog=as_typed(f"python -m tuning.{command}"),
        usage=f"%(prog)s [OPTION …] {arguments}".rstrip(),
        description=summary,
        epilog="\n\n".join(filter(None, [f"examples:\n{rest.strip(chr(10))}" if rest else "", EXIT_CODES])),
    )
    shared = result.add_argument_group(EVERY_COMMAND)
    shared.add_argument(
        "--root",
        type=Path,
        default=Path("."),
        metavar="DIR",
        help="the workspace that holds data/ and artifacts/ (default: the current directory)",
    )
    shared.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    shared.add_argument("--quiet", action="store_true", help="print only results and errors, no progress or messages")
    return result


def _refuse(given: Sequence[str], problem: str, remedy: str) -> NoReturn:
    sys.exit(_failed(argparse.Namespace(json="--json" in given, root=Path(".")), problem, remedy, EXIT_USAGE))


def add_tracking_options(group: argparse._ActionsContainer) -> None:
    """Adds the options of the commands that can log to TensorBoard and MLflow."""
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write TensorBoard event files into the folder tensorboard of the search (for train: of artifacts)",
    )
    group.add_argument(
        "--mlflow",
        metavar="WHERE",
        help="also log to MLflow: http://HOST:PORT of a server, sqlite:///FILE.db, or a folder; requires the extra "
        "mlflow (default: no logging)",
    )


def offer(action: argparse.Action, values: Callable[[Workspace], Iterable[str]]) -> None:
    """Sets the values that a shell offers for this option, through argcomplete."""

    def completer(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return list(values(Workspace(parsed_args.root)))

    action.completer = completer  # type: ignore[attr-defined]


def searches(workspace: Workspace) -> list[str]:
    """Returns the names of the workspace's searches."""
    return sorted(path.parent.name for path in workspace.searches.glob("*/search.json"))


def runs(workspace: Workspace) -> list[str]:
    """Returns the ids of the workspace's finished runs."""
    return sorted(path.parent.name for path in workspace.trials.glob("*/metrics.json"))


Result = tuple[dict[str, Any] | None, str] | tuple[dict[str, Any] | None, str, int]
Run = Callable[[argparse.Namespace, Workspace, Console], Result]


def main(
    options: Callable[[], argparse.ArgumentParser],
    run: Run,
    argv: list[str] | None = None,
    anywhere: bool = False,
    bare: bool = False,
) -> int:
    """Parses `argv`, runs the command, prints its result, and turns every error into one line and an exit code.

    `run(args, workspace, console)` returns (result, text): `result` is printed with `--json`, `text` without. A command
    that fails although it has a result adds the exit code: (result, text, EXIT_REFUSED). A command that has printed its
    result already, piece by piece, returns None for it.

    Args:
        options: returns the command's parser; a package missing there is reported like any other.
        anywhere: the command creates a workspace or can do without one; other commands are refused if there is none.
        bare: the command runs without the required packages, to report which are missing; others are refused then.
    """
    output.use_as_they_are()
    asked = argparse.Namespace(json="--json" in (sys.argv[1:] if argv is None else argv), root=Path("."))
    try:
        _refuse_lost_folder()
        _refuse_hidden_packages()
        arguments = options()
    except TuningError as error:
        return refused(error, asked.json)
    except ModuleNotFoundError as error:
        return _not_installed(asked, error)
    if "_ARGCOMPLETE" in os.environ:
        # A shell asks for completions of the line being typed; this prints them and ends the process.
        import argcomplete

        argcomplete.autocomplete(arguments)
    args = arguments.parse_args(argv)
    console = Console(quiet=args.quiet or args.json)
    # As typed, the path of Python included; for a caller in Python, as a user would type it.
    line = sys.orig_argv if argv is None else [*arguments.prog.split(), *argv]

    def go_on() -> str:
        """Returns the line that resumes; without --fresh if the old search has been moved aside already."""
        done = interruption.started_over()
        return f"to resume: {shlex.join(word for word in line if not (done and _is_fresh(word)))}"

    try:
        with interruption.signals_raise():
            workspace = Workspace(args.root)
            if not bare:
                _require_packages()
            if not anywhere:
                workspace.require()
            result, text, *code = run(args, workspace, console)
        _print_result(args, result, text)
    except Interrupted as error:
        return _failed(args, error.problem, go_on(), error.exit_code, STOPPED)
    except Disconnected as error:
        return _failed(args, error.problem, f"{error.remedy}; {go_on()}", error.exit_code)
    except TuningError as error:
        return _failed(args, error.problem, error.remedy, error.exit_code)
    except KeyboardInterrupt:
        interrupted = Interrupted(signal.SIGINT)
        return _failed(args, interrupted.problem, go_on(), interrupted.exit_code, STOPPED)
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): nobody is left to report to, but not all was read.
        _discard_stdout()
        return EXIT_UNREAD
    except OSError as error:
        _discard_unwritable_stdout()
        where = f"{error.filename}: " if error.filename else ""
        remedy = _DISK_REMEDIES.get(error.errno or 0)
        if remedy is None and not where:
            return _internal(args, error)
        return _failed(args, f"{where}{error.strerror}", remedy or "check that path", EXIT_ENVIRONMENT)
    except ModuleNotFoundError as error:
        return _not_installed(args, error)
    except Exception as error:
        return _internal(args, error)
    return code[0] if code else EXIT_DONE


def _is_fresh(word: str) -> bool:
    """Returns whether `word` is --fresh or an abbreviation of it, which argparse accepts."""
    return word.startswith("--f") and "--fresh".startswith(word)


def terminal_width() -> int | None:
    """Returns the terminal's width in characters; None if stdout is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print_result(args: argparse.Namespace, result: dict[str, Any] | None, text: str) -> None:
    if args.json and result is not None:
        print(_json(result))
    elif text:
        text = as_typed(text)
        print(in_terminal(text) if sys.stdout.isatty() and not getattr(args, "wide", False) else text)
    sys.stdout.flush()


def _json(result: dict[str, Any]) -> str:
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    return text if output.shows(sys.stdout, text) else json.dumps(result, allow_nan=False)


def _discard_stdout() -> None:
    """Redirects stdout to the null device: flushing what is still buffered would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _discard_unwritable_stdout() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def refused(error: TuningError, as_json: bool) -> int:
    """Reports `error` before a command has parsed its options; returns the exit code."""
    return _failed(argparse.Namespace(json=as_json, root=Path(".")), error.problem, error.remedy, error.exit_code)


def _failed(args: argparse.Namespace, problem: str, remedy: str, exit_code: int, what: str = "error") -> int:
    problem, remedy = (
        output.one_line(as_typed(problem)),
        output.one_line(as_typed(Workspace(args.root).addressed(remedy))),
    )
    output.use_as_they_are()
    _say(f"{what}: {problem}")
    if remedy:
        _say(f"  → {remedy}")
    if args.json:
        try:
            print(_json({"error": problem, "remedy": remedy, "exit_code": exit_code}), flush=True)
        except OSError:
            _discard_stdout()
    return exit_code


def _say(text: str) -> None:
    """Prints a line on stderr, wrapped at words if that is a terminal."""
    output.say(in_terminal(text) if sys.stderr.isatty() else text)


def _refuse_lost_folder() -> None:
    """Raises EnvironmentProblem if the current folder has been deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise EnvironmentProblem("the current folder has been deleted", "change into one that exists: cd") from None


def _refuse_hidden_packages() -> None:
    """Refuses to run if a file of the user's hides one of our packages: Python looks in the current folder first.

    Raises:
        UsageError: there is such a file.
    """
    for name in OWN_PACKAGES:
        found = importlib.util.find_spec(name)
        file = Path(found.origin) if found and found.origin else None
        if file and file.resolve().parent != Path(__file__).resolve().parents[1] / name:
            raise UsageError(
                f"{file} hides the package {name}, which every command needs",
                f"give it another name, such as my_{name}, or start the command in another folder",
            )


def _require_packages() -> None:
    """Raises EnvironmentProblem if a required package is missing, before the command does any work."""
    from tuning.core import packages

    name = packages.missing()
    if name is not None:
        raise EnvironmentProblem(f"the package {name} is missing", packages.remedy(name))


def _not_installed(args: argparse.Namespace, error: ModuleNotFoundError) -> int:
    """Reports a package that is not installed as a problem of the environment, a missing module of ours as a defect."""
    from tuning.core import packages

    name = error.name or ""
    if not name or name.partition(".")[0] in OWN_PACKAGES:
        return _internal(args, error)
    return _failed(args, f"the package {name.partition('.')[0]} is missing", packages.remedy(name), EXIT_ENVIRONMENT)


def _internal(args: argparse.Namespace, error: Exception) -> int:
    if os.environ.get("TUNING_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    return _failed(
        args,
        f"internal error: {type(error).__name__}: {error}",
        "this is a defect of this package: run again with TUNING_TRACEBACK=1 and report what it prints",
        EXIT_INTERNAL,
    )
