"""`cli.main`, the boundary where results become output and errors become exit codes."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning import cli
from tuning.core import errors, interruption

REPOSITORY = Path(__file__).resolve().parent.parent

DOC = """Does a thing.

  python -m tuning.thing --twice
"""


def options() -> argparse.ArgumentParser:
    parser = cli.parser("thing", DOC)
    parser.add_argument("--twice", action="store_true")
    return parser


def returning(*result):
    return lambda args, workspace, console: result


def raising(error: BaseException):
    def run(args, workspace, console):
        raise error

    return run


GO_ON = "to resume: python -m tuning.thing"

OUTCOMES = {
    "done": (returning({"n": 1}, "one"), 0, ""),
    "done with findings": (returning({"n": 1}, "one", errors.EXIT_REFUSED), 3, ""),
    "nothing to print": (returning({}, ""), 0, ""),
    "usage": (raising(errors.UsageError("no strategy 'x'", "use y")), 2, "error: no strategy 'x'\n  → use y\n"),
    "data": (
        raising(errors.DataError("one class only", "add a second")),
        3,
        "error: one class only\n  → add a second\n",
    ),
    "state": (raising(errors.StateError("in use by 7", "wait")), 3, "error: in use by 7\n  → wait\n"),
    "environment": (raising(errors.EnvironmentProblem("no onnx", "install it")), 4, "error: no onnx\n  → install it\n"),
    "budget": (
        raising(errors.BudgetEnded("nothing finished", "give more")),
        5,
        "error: nothing finished\n  → give more\n",
    ),
    "no remedy": (raising(errors.DataError("odd")), 3, "error: odd\n"),
    "ctrl-c": (
        raising(KeyboardInterrupt()),
        130,
        f"stopped: Ctrl-C (SIGINT) arrived; everything that was finished is saved\n  → {GO_ON}\n",
    ),
    "interrupted": (
        raising(errors.Interrupted(signal.SIGTERM)),
        143,
        f"stopped: SIGTERM arrived; everything that was finished is saved\n  → {GO_ON}\n",
    ),
    "full disk": (
        raising(OSError(errno.ENOSPC, "No space left on device", "out/leaderboard.csv")),
        4,
        "error: out/leaderboard.csv: No space left on device\n"
        "  → free some disk space and run the same command again; what was there before is intact\n",
    ),
    "read-only": (
        raising(OSError(errno.EROFS, "Read-only file system", "out")),
        4,
        "error: out: Read-only file system\n  → the file system is read-only: give a --root that you may write to\n",
    ),
    "permission": (
        raising(PermissionError(errno.EACCES, "Permission denied", "out")),
        4,
        "error: out: Permission denied\n  → check the permissions, or give another --root\n",
    ),
    "defect": (
        raising(ZeroDivisionError("division by zero")),
        1,
        "error: internal error: ZeroDivisionError: division by zero\n"
        "  → this is a defect of this package: run again with TUNING_TRACEBACK=1 and report what it prints\n",
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_become_exit_codes_and_one_message(name, capsys):
    run, code, message = OUTCOMES[name]
    assert cli.main(options, run, [], anywhere=True) == code
    stdout, stderr = capsys.readouterr()
    assert stderr == message
    assert stdout == ("one\n" if name.startswith("done") else "")


@pytest.mark.parametrize("name", OUTCOMES)
def test_with_json_stdout_is_one_object_on_one_line(name, capsys):
    run, code, message = OUTCOMES[name]
    assert cli.main(options, run, ["--json"], anywhere=True) == code
    stdout, _ = capsys.readouterr()
    assert stdout.count("\n") == 1
    value = json.loads(stdout)
    if name.startswith("done"):
        assert value == {"n": 1}
    elif message:
        assert value["exit_code"] == code
        assert f": {value['error']}\n" in message


@pytest.mark.parametrize(
    "argv", [["--no-such-option"], ["surplus"], ["--root"]], ids=["unknown option", "surplus argument", "no value"]
)
def test_what_argparse_refuses_exits_2(argv, capsys):
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(options, returning({}, ""), [*more, *argv], anywhere=True)
        assert caught.value.code == errors.EXIT_USAGE
        stdout, stderr = capsys.readouterr()
        assert stderr.startswith("error: ") and stderr.endswith("see python -m tuning.thing --help\n")
        assert (json.loads(stdout)["exit_code"] if more else stdout) == (2 if more else "")


def test_commands_in_remedies_are_for_this_workspace(tmp_path, capsys):
    def refused(args, workspace, console):
        raise errors.DataError("no", "run: python -m tuning.prepare, or see python -m tuning.prepare --help")

    cli.main(options, refused, ["--root", str(tmp_path)], anywhere=True)
    said = f"run: python -m tuning.prepare --root {tmp_path}, or see python -m tuning.prepare --help"
    assert said in capsys.readouterr().err
    cli.main(options, refused, [], anywhere=True)
    assert "run: python -m tuning.prepare, or" in capsys.readouterr().err


def test_arguments_reach_the_command(tmp_path, capsys):
    def run(args, workspace, console):
        console.say("said")
        console.warn("warned")
        with console.bar(2, "steps") as bar:
            bar.update(2)
        return {"twice": args.twice, "root": str(workspace.root)}, "text"

    assert cli.main(options, run, ["--twice", "--root", str(tmp_path)], anywhere=True) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout == "text\n"
    assert stderr == "said\nwarning: warned\n"  # without a terminal, there is no progress bar

    assert cli.main(options, run, ["--twice", "--root", str(tmp_path), "--json"], anywhere=True) == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout) == {"twice": True, "root": str(tmp_path)}
    assert stderr == ""

    assert cli.main(options, run, ["--quiet"], anywhere=True) == 0
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr) == ("text\n", "")


def test_the_line_to_go_on_is_the_line_that_was_typed(capsys):
    cli.main(options, raising(errors.Interrupted(signal.SIGINT)), ["--twice", "--root", "a folder"], anywhere=True)
    assert "to resume: python -m tuning.thing --twice --root 'a folder'\n" in capsys.readouterr().err


@pytest.mark.parametrize("fresh", ["--fresh", "--fre"])
def test_what_was_moved_aside_is_not_moved_aside_by_the_line_to_go_on(fresh, capsys):
    def parser():
        made = options()
        made.add_argument("--fresh", action="store_true")
        return made

    def run(args, workspace, console):
        if args.twice:
            interruption.note_started_over()
        raise errors.Interrupted(signal.SIGINT)

    cli.main(parser, run, [fresh], anywhere=True)
    assert f"{GO_ON} {fresh}\n" in capsys.readouterr().err
    cli.main(parser, run, ["--twice", fresh], anywhere=True)
    assert f"{GO_ON} --twice\n" in capsys.readouterr().err
    cli.main(parser, run, [fresh], anywhere=True)
    assert f"{GO_ON} {fresh}\n" in capsys.readouterr().err


def test_a_defect_shows_its_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setenv("TUNING_TRACEBACK", "1")
    assert cli.main(options, raising(ZeroDivisionError("division by zero")), [], anywhere=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_help_shows_the_summary_and_the_lines_to_run():
    text = options().format_help()
    assert "Does a thing." in text
    assert "python -m tuning.thing --twice" in text


def test_errors_survive_the_way_from_a_worker_process():
    import pickle

    for error in (errors.DataError("what", "how"), errors.Interrupted(signal.SIGTERM)):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (copy.problem, copy.remedy, copy.exit_code) == (error.problem, error.remedy, error.exit_code)


# A program for a process of its own; `body` is the body of a command's `run`.
PROGRAM = """
import sys, time
from pathlib import Path
from tuning import cli
def run(args, workspace, console):
{body}
sys.exit(cli.main(lambda: cli.parser("thing", "Does a thing."), run, sys.argv[1:], anywhere=True))
"""

WAITING = """
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        Path("cleaned").touch()
    return {}, ""
"""


def start(body: str, folder: Path, *arguments: str, stdout: object = subprocess.PIPE) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_cleanly(number, code, tmp_path):
    process = start(WAITING, tmp_path)
    assert process.stderr.readline() == "ready\n"
    begun = time.monotonic()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == code
    assert time.monotonic() - begun < 5
    assert "to resume: " in stderr and "Traceback" not in stderr
    assert (tmp_path / "cleaned").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use stays")
@pytest.mark.parametrize("arguments", ["", "--json"])
def test_a_current_folder_that_is_gone_is_said(arguments, tmp_path):
    code = "import os, shutil, sys\nfrom tuning import leaderboard\nos.makedirs(sys.argv[1])\nos.chdir(sys.argv[1])\n"
    code += "shutil.rmtree(sys.argv.pop(1))\nsys.exit(leaderboard.main())"
    command = [sys.executable, "-c", code, str(tmp_path / "gone"), *arguments.split()]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (4, "error: the current folder has been deleted")
    assert "Traceback" not in done.stderr and bool(done.stdout) == (arguments == "--json")


def test_a_command_ends_without_looking_for_garbage():
    code = "import sys{}\nclass Cycle:\n    def __del__(self): print('found')\nkept = Cycle()\nkept.itself = kept"
    ends = [
        subprocess.run([sys.executable, "-c", code.format(more)], capture_output=True, text=True, check=True).stdout
        for more in ("", ", tuning.cli")
    ]
    assert ends == ["found\n", ""]


@pytest.mark.parametrize(
    "body", ['    return {}, "line\\n" * 100_000', '    print("line\\n" * 100_000)\n    return {}, ""']
)
def test_a_reader_that_goes_away_is_no_error_but_no_success(body, tmp_path):
    reading, writing = os.pipe()
    process = start(body, tmp_path, stdout=writing)
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_output_to_a_full_disk_is_an_environment_problem(tmp_path):
    with open("/dev/full", "w") as full:
        process = start('    return {}, "line"', tmp_path, stdout=full)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 4
    assert "No space left on device" in stderr and "Traceback" not in stderr and "Exception" not in stderr
