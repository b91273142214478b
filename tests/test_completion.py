"""Completion in real shells: each sources what the command prints and is asked what could follow on a line."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from search_spaces import SPACES
from tuning import completion
from tuning.oracles import STRATEGIES

HARNESS = r"""
source <("$PYTHON" -m tuning.completion bash)
[[ $(complete -p .venv/bin/python 2>/dev/null || complete -p python) == *_tuning_python* ]] || exit 9
compopt() { :; }   # it works in a running completion only
while IFS= read -r line; do
    COMP_LINE=$line COMP_POINT=${#line}
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _tuning_python "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" x
    (IFS=$'\t'; printf '%s\n' "${COMPREPLY[*]}")
done
"""


@pytest.fixture(scope="module")
def bash():
    found = shutil.which("bash")
    if not found:
        pytest.skip("no bash here")
    return found


@pytest.fixture
def complete(bash, sample_environment, tmp_path):
    """complete(line, …) -> what bash offers at the end of each line, `P` standing for this Python."""

    def ask(*lines: str) -> list[list[str]]:
        done = subprocess.run(
            [bash, "--norc", "-c", HARNESS],
            input="".join(line.replace("P ", f"{sys.executable} ", 1) + "\n" for line in lines),
            env={**sample_environment, "PYTHON": sys.executable},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [[word.strip() for word in line.split("\t") if word] for line in done.stdout.split("\n")[:-1]]

    return ask


def test_every_command_is_offered():
    package = Path(completion.__file__).parent
    sources = {path.stem: path.read_text(encoding="utf-8") for path in package.glob("*.py") if path.stem != "cli"}
    assert completion.commands() == sorted(name for name, text in sources.items() if "\ndef main(" in text)


def test_what_bash_offers(complete, finished_names):
    root, search, run = finished_names
    asked = {
        "P -m tuning.sea": ["tuning.search"],
        "P -m tuning.search --strategy ": sorted(STRATEGIES),
        "P -m tuning.search --strategy=r": ["random"],
        "P -m tuning.search --space ": sorted(SPACES),
        "P -m tuning.search --tens": ["--tensorboard"],
        "P -m tuning.search --executor i": ["inline"],
        f"P -m tuning.search --root {root} --name ": [search],
        f"P -m tuning.export --root {root} --search ": [search],
        f"P -m tuning.export --root {root} --run ": [run],
        f"P -m tuning.train --root {root} --from-trial {search}/": [f"{search}/0000", f"{search}/0001"],
        f"P -m tuning.predict {root}/artif": [f"{root}/artifacts/"],
        "P -m tuning.completion ": ["bash", "fish", "zsh"],
        "P -m json.tool --ind": [],
        "P setup.p": [],
    }
    found = complete(*asked)
    offered = {
        line: sorted(word for word in words if word in expected or not word.startswith("-"))
        for (line, expected), words in zip(asked.items(), found, strict=True)
    }
    assert offered == asked


@pytest.fixture
def finished_names(tmp_path, make_run):
    """(root, search, run) of a workspace with a search of two trials and one finished run."""
    from tuning.core.workspace import Workspace
    from tuning.engine.journal import Journal

    workspace = Workspace(tmp_path / "w").create()
    make_run(workspace, "faces-01-t0001")
    folder = workspace.search("faces")
    folder.mkdir()
    (folder / "search.json").write_text("{}")
    with Journal(folder / "journal.jsonl") as journal:
        for trial in ("0000", "0001"):
            journal.append({"type": "ask", "trial": {"trial_id": trial}})
    return workspace.root, "faces", "faces-01-t0001"


def test_a_workspace_that_is_not_there_offers_nothing(complete):
    assert complete("P -m tuning.export --root gone --search ") == [[]]


def test_the_tab_key_in_a_real_bash(bash, sample_environment, tmp_path):
    """Typed into a terminal: the line as it stands after TAB is the line that Enter runs."""
    environment = {**sample_environment, "TERM": "dumb", "PS1": "$ ", "PYTHON": sys.executable}
    terminal, other_end = pty.openpty()
    # Wide enough for one line wherever this project lies: a longer one is scrolled, and its beginning not shown.
    termios.tcsetwinsize(other_end, (24, 1000))
    shell = subprocess.Popen(
        [bash, "--norc", "--noprofile", "-i"],
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    os.close(other_end)
    seen = ""

    def type_and_wait(text: str, until: str) -> None:
        nonlocal seen
        seen = ""
        os.write(terminal, text.encode())
        deadline = time.monotonic() + 60
        while until not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")

    try:
        type_and_wait('source <("$PYTHON" -m tuning.completion bash); echo read""y\n', "ready")
        type_and_wait(f"{sys.executable} -m tuning.sea\t", "tuning.search ")
        type_and_wait("--strategy hyp\t", "hyperband ")
        type_and_wait("--tensor\t", "--tensorboard ")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


@pytest.mark.parametrize("shell", [shell for shell in completion.SHELLS if shutil.which(shell)])
def test_each_shell_reads_its_script(shell):
    check = [shell, "--no-execute"] if shell == "fish" else [shell, "-n"]
    done = subprocess.run([*check], input=completion.script(shell), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        completion.main(["tcsh"])
    assert caught.value.code == 2
    assert "bash" in capsys.readouterr().err


def test_the_command_prints_the_script_and_nothing_else(capsys):
    assert completion.main(["bash"]) == 0
    shown = capsys.readouterr()
    assert shown.out == completion.script("bash") + "\n" and shown.err == ""
    assert "@" not in shown.out.replace('"$@"', "")
