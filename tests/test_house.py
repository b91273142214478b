"""Rules of the repository: imports point down, `--help` answers at once, files stay short."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.__main__ import commands

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "tuning"
PACKAGES = ("tuning", "demo_faces", "search_spaces")

#: Layers ("rooms") from the bottom up; a module may import from its own room and from those before it.
ROOMS = (
    "search_spaces",
    "core",
    "demo_faces",
    "dataset",
    "engine",
    "trials",
    "oracles",
    "history",
    "results",
    "tracking",
    "pipeline",
    "cli",
    "commands",
)
HEAVY = {"tensorflow", "keras", "keras_tuner", "numpy", "cv2", "pandas", "sklearn", "scipy", "matplotlib"}
LONGEST_FILE = 400
HELP_CPU_SECONDS = 0.3


def modules() -> dict[str, Path]:
    """Return dotted name -> file of all modules of the packages."""
    result = {}
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            result[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return result


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "tuning":
        return parts[0]
    if len(parts) == 1:
        return "core"
    return "commands" if parts[1] in ("__main__", *commands()) else parts[1]


def imports(tree: ast.AST, module: str, is_package: bool = False) -> set[str]:
    """Return all modules of this project that `tree` imports, also within functions; relative imports are resolved.

    `from tuning.results import plots` counts as `tuning.results.plots`, and so does `importlib.import_module("…")`.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                own = module.split(".")
                anchor = own[: len(own) - node.level + is_package]
                base = ".".join([*anchor, *([base] if base else [])])
            known = modules()
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in known or (REPOSITORY / inner.replace(".", "/")).is_dir() else base)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return {name for name in found if name.split(".")[0] in PACKAGES}


def trespasses(module: str, imported: set[str]) -> list[str]:
    """Return the imports of `module` that do not point down."""
    own = room(module)
    wrong = []
    for name in sorted(imported):
        other = room(name)
        upwards = ROOMS.index(other) > ROOMS.index(own)
        if upwards or (own == other == "commands" and name != module):
            wrong.append(f"{module} ({own}) imports {name} ({other})")
    return wrong


def test_every_folder_is_a_known_room():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module):
    path = modules()[module]
    imported = imports(syntax(path), module, is_package=path.name == "__init__.py")
    assert trespasses(module, imported) == []


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("tuning.results.runs", "from tuning.trials import metrics", 0),
        ("tuning.trials.metrics", "from tuning.results import runs", 1),
        ("tuning.trials.metrics", "def f():\n    import tuning.results.runs", 1),
        ("tuning.trials.metrics", "def f():\n    from ..results.runs import read_run", 1),
        ("tuning.trials.metrics", "import importlib\nimportlib.import_module('tuning.results.runs')", 1),
        ("tuning.dataset.store.arrays", "from tuning import files, cli", 1),
        ("tuning.core.files", "from tuning.dataset import arrays", 1),
        ("tuning.promote", "from tuning import leaderboard", 1),
        ("tuning.promote", "from tuning.results import leaderboard", 0),
        ("search_spaces.baseline_cnn", "from tuning.core.records import configuration", 1),
    ],
)
def test_a_trespass_is_seen(module, source, wrong):
    assert len(trespasses(module, imports(ast.parse(source), module))) == wrong


def test_the_engine_is_handed_its_strategies_and_executors():
    for module, path in modules().items():
        if room(module) != "engine":
            continue
        imported = imports(syntax(path), module, is_package=path.name == "__init__.py")
        assert not {name for name in imported if name.startswith("tuning.oracles")}, module
        if not module.startswith("tuning.engine.executors"):
            # The package itself is the protocol; its modules are the executors.
            assert not {name for name in imported if name.startswith("tuning.engine.executors.")}, module


def test_only_a_trial_opens_the_test_split():
    """Only `trials` calls `open_test`, so nothing that chooses a configuration can see test images."""
    callers = {
        module
        for module, path in modules().items()
        if module != "tuning.dataset.store.sealed"
        and "open_test" in {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(syntax(path))}
    }
    assert {room(module) for module in callers} <= {"trials"}, callers


def measured_help(command: str) -> tuple[float, set[str], str]:
    """Return the CPU seconds of `python -m tuning.COMMAND --help`, the heavy modules it loaded, and its output."""
    code = (
        "import json, runpy, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('tuning.{command}', run_name='__main__')\n"
        "finally:\n"
        "    print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A help text fits into the pipe's buffer, so nothing has to read it yet; wait4 returns this child's CPU time.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return usage.ru_utime + usage.ru_stime, set(json.loads(stderr.splitlines()[-1])) & HEAVY, stdout


@pytest.mark.parametrize("command", sorted(commands()))
def test_help_answers_at_once(command):
    seconds, loaded, text = measured_help(command)
    assert loaded == set()
    assert f"python -m tuning.{command}" in text
    best = min([seconds, *(measured_help(command)[0] for _ in range(2) if seconds >= HELP_CPU_SECONDS)])
    assert best < HELP_CPU_SECONDS


@pytest.mark.parametrize("command", sorted(commands()))
def test_commands_have_the_shared_options_and_show_how_to_run_them(command):
    module = importlib.import_module(f"tuning.{command}")
    text = module.options().format_help()
    assert all(option in text for option in ("--root", "--json", "--quiet"))
    # The module's docstring, which is the text below the options, has lines to paste.
    assert f"python -m tuning.{command}" in (module.__doc__ or "")


def project_files() -> list[Path]:
    """Return every file that is or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
        paths = [REPOSITORY / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for folder in (*PACKAGES, "tests") for path in (REPOSITORY / folder).rglob("*")]
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def test_no_file_has_grown_too_long():
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in project_files()
        if path.suffix == ".py"
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


#: An absolute path on somebody's machine, but not the tail of a longer path or of a URL.
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:work|root|home|Users)/(?=[\w.])")


def test_no_path_of_a_machine_is_in_any_file():
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    assert found == []


@given(st.sampled_from(["work", "root", "home", "Users"]), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_a_machine_path_is_seen(folder, name):
    assert MACHINE_PATH.search(f'open("/{folder}/{name}")')
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/{name}")


def test_of_a_workspace_only_the_pages_that_explain_it_are_in_the_repository():
    names = ("data/README.md", "artifacts/README.md", "data/raw_yolo/happy/1.jpg", "artifacts/outputs/leaderboard.csv")
    command = ["git", "check-ignore", "--no-index", *names]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:
        pytest.skip("no git here")
    if done.returncode > 1:
        pytest.skip("not a clone")
    assert done.stdout.split() == list(names[2:])
    assert all((REPOSITORY / name).is_file() for name in names[:2])
