"""The list of commands, the console script, shell completion, and a Python without the required packages."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tuning import __main__, __version__, cli, doctor
from tuning.core import packages

REPOSITORY = Path(__file__).resolve().parent.parent

#: Options of Python: without site-packages, hence without any installed package.
BARE = ("-S", "-E")
THROUGH_SCRIPT = "import sys; sys.argv[0] = 'face-tuning'; from tuning.__main__ import script; sys.exit(script())"


def python(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def bare(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a module in a Python that finds this repository but no installed package."""
    code = f"import runpy, sys; sys.path.insert(0, {str(REPOSITORY)!r}); sys.argv = sys.argv[1:]; "
    return python(*BARE, "-c", code + "runpy.run_module(sys.argv[0], run_name='__main__')", *arguments, cwd=cwd)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_it_lists_the_commands_with_a_line_each_and_imports_none(arguments, tmp_path):
    code = f"import sys; sys.argv[1:] = {arguments!r}\nfrom tuning.__main__ import main\n"
    code += "try:\n    main()\nexcept SystemExit as error:\n    assert error.code == 0\n"
    code += "assert not {'numpy', 'msgspec', 'keras', 'tuning.search'} & sys.modules.keys(), 'heavy'"
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = dict(
        line.split(None, 1) for line in done.stdout.partition("commands:\n")[2].partition("\n\n")[0].splitlines()
    )
    assert rows == __main__.commands()
    for name, summary in rows.items():
        assert (importlib.import_module(f"tuning.{name}").__doc__ or "").startswith(f"{summary}\n")
        assert summary.endswith(".")
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_every_command_has_its_place_in_the_list():
    assert set(__main__.commands()) == set(__main__._ORDER)


def test_the_console_script_is_declared():
    (entry,) = [entry for entry in metadata.entry_points(group="console_scripts") if entry.name == __main__.SCRIPT]
    assert entry.load() is __main__.script


def test_the_version(tmp_path):
    assert python("-m", "tuning", "--version", cwd=tmp_path).stdout == f"face-tuning {__version__}\n"


def test_a_command_runs_by_its_name_and_says_what_was_typed(tmp_path):
    root = str(tmp_path / "nowhere")
    by_module = python("-m", "tuning.leaderboard", "--root", root, cwd=tmp_path)
    by_name = python("-m", "tuning", "leaderboard", "--root", root, cwd=tmp_path)
    by_script = python("-c", THROUGH_SCRIPT, "leaderboard", "--root", root, cwd=tmp_path)
    assert (by_module.returncode, by_module.stdout) == (by_name.returncode, by_name.stdout) == (3, "")
    assert f"run python -m tuning.prepare --root {root} --raw PATH" in by_module.stderr
    assert by_name.stderr == by_module.stderr
    assert by_script.stderr == by_module.stderr.replace("python -m tuning.prepare", "face-tuning prepare")
    text = python("-c", THROUGH_SCRIPT, "demo", "--help", cwd=tmp_path).stdout
    assert text.startswith("usage: face-tuning demo ") and "python -m" not in text
    assert "  face-tuning demo --root demo-workspace\n" in text


def test_the_console_script_finds_a_builder_in_the_current_folder_as_python_does(tmp_path, monkeypatch):
    """For a console script, Python puts the script's folder on `sys.path`, not the current one."""
    (tmp_path / "my_builder.py").write_text("def build(hp):\n    return None\n")
    monkeypatch.setattr(sys, "path", [str(Path(sys.executable).parent), *filter(None, sys.path)])
    monkeypatch.setattr(__main__, "main", lambda program: importlib.util.find_spec("my_builder") is not None)
    monkeypatch.setattr(__main__, "through_script", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert __main__.script()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use stays")
def test_the_console_script_says_that_the_current_folder_is_gone(tmp_path):
    gone = tmp_path / "gone"
    code = f"import os\nos.mkdir({str(gone)!r})\nos.chdir({str(gone)!r})\nos.rmdir({str(gone)!r})\n{THROUGH_SCRIPT}"
    done = python("-c", code, "leaderboard", cwd=tmp_path)
    assert done.stderr.splitlines()[0] == "error: the current folder has been deleted"
    assert done.returncode == 4


@pytest.mark.parametrize(("name", "is_package"), [("search_spaces", False), ("demo_faces", True)])
def test_a_file_that_hides_a_package_of_ours_is_named(name, is_package, tmp_path):
    file = tmp_path / name / "__init__.py" if is_package else tmp_path / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text("def build(hp):\n    return None\n")
    done = python("-m", "tuning.search", "--space", f"{name}:build", "--json", cwd=tmp_path)
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 2
    assert f"error: {file} hides the package {name}" in done.stderr
    assert "Traceback" not in done.stderr and f"my_{name}" in done.stderr
    # Renaming it, as the remedy says, helps.
    (file.parent if is_package else file).rename(tmp_path / f"my_{name}{'' if is_package else '.py'}")
    assert python("-m", "tuning.search", "--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(("typed", "meant"), [("serch", "search"), ("tuning.prepare", "prepare"), ("xyz", None)])
def test_a_mistyped_command_is_told_what_it_may_mean(typed, meant, tmp_path):
    done = python("-m", "tuning", typed, "--json", cwd=tmp_path)
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 2
    assert f"there is no command '{typed}'" in done.stderr
    assert ("did you mean" in done.stderr) is (meant is not None)
    assert meant is None or f"`python -m tuning {meant}`" in done.stderr
    assert "`python -m tuning` lists the commands" in done.stderr


def test_an_option_before_the_command_is_told_its_place(tmp_path):
    done = python("-m", "tuning", "--root", "faces", "prepare", cwd=tmp_path)
    assert done.returncode == 2 and "--root stands before the command" in done.stderr
    assert "give it after it: `python -m tuning COMMAND --root …`" in done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("face-tuning ", {"search", "prepare", "doctor"}),
        ("face-tuning le", {"leaderboard"}),
        ("face-tuning search --str", {"--strategy"}),
        ("face-tuning search --strategy ran", {"random"}),
        ("face-tuning leaderboard --ma", {"--markdown"}),
    ],
)
def test_a_shell_is_told_commands_options_and_values(line, offered, tmp_path):
    """Ask as the shell function of `register-python-argcomplete` does, with the answer in a file."""
    answer = tmp_path / "answer"
    environment = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    python("-c", THROUGH_SCRIPT, cwd=tmp_path, **environment)
    found = {word.strip() for word in answer.read_text().split("\013")}
    assert offered <= found
    assert line.endswith(" ") or len(found) == 1


def test_global_completion_finds_its_mark():
    assert b"PYTHON_ARGCOMPLETE_OK" in Path(__main__.__file__).read_bytes()[:1024]


@pytest.mark.parametrize("command", sorted(set(__main__.commands()) - {"doctor"}))
def test_without_its_packages_any_command_says_how_to_have_them(command, tmp_path):
    more = ["face.jpg"] if command == "predict" else []
    done = bare(f"tuning.{command}", *more, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    first = "msgspec" if command in ("search", "train") else "keras"  # the package that is imported first
    assert done.stderr == f"error: the package {first} is missing\n  → activate .venv, or pip install -e .\n"
    assert list(tmp_path.iterdir()) == []


def test_without_its_packages_the_commands_are_listed_and_refused(tmp_path):
    assert "leaderboard" in bare("tuning", cwd=tmp_path).stdout
    done = bare("tuning", "search", "--json", cwd=tmp_path)
    assert done.returncode == 4
    assert json.loads(done.stdout) == {
        "error": "the package msgspec is missing",
        "remedy": "activate .venv, or pip install -e .",
        "exit_code": 4,
    }


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("numpy.linalg", "activate .venv, or pip install -e ."),
        ("msgspec", "activate .venv, or pip install -e ."),
        ("mlflow", "run: pip install -e '.[mlflow]'"),
        ("ray.util", "run: pip install -e '.[ray]'"),
        ("tf2onnx", "run: pip install -e '.[onnx]'"),
        ("ai_edge_litert", "run: pip install -e '.[litert]'"),
    ],
)
def test_a_package_that_turns_out_to_be_missing_is_no_defect(module, remedy, capsys):
    def run(args, workspace, console):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert cli.main(lambda: cli.parser("thing", "Does."), run, [], anywhere=True) == 4
    name = module.partition(".")[0]
    assert capsys.readouterr().err == f"error: the package {name} is missing\n  → {remedy}\n"

    def options():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert cli.main(options, run, ["--json"]) == 4
    assert json.loads(capsys.readouterr().out)["remedy"] == remedy


def test_a_module_of_our_own_that_is_missing_is_a_defect(capsys):
    def run(args, workspace, console):
        raise ModuleNotFoundError("No module named 'tuning.gone'", name="tuning.gone")

    assert cli.main(lambda: cli.parser("thing", "Does."), run, [], anywhere=True) == 1
    assert "defect" in capsys.readouterr().err


def test_installed_without_its_sources_a_package_comes_from_an_index(monkeypatch):
    monkeypatch.setattr(packages, "_settings", lambda: None)
    assert packages.remedy("numpy") == "run: pip install face-tuning"
    found = [packages.Package("numpy", ">=2", "1.26", False, None)]
    assert doctor.package_findings(found)[0].remedy == "run: pip install --upgrade face-tuning"


@pytest.mark.parametrize(
    "command", ["search", "train", "leaderboard", "report", "promote", "export", "predict", "doctor"]
)
def test_a_mistyped_root_is_said_and_stays_untouched(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    root = tmp_path / "mistyped"
    more = ["face.jpg"] if command == "predict" else []
    assert importlib.import_module(f"tuning.{command}").main([*more, "--root", str(root)]) == 3
    said = "".join(capsys.readouterr())
    assert f"there is no workspace in {root}: that folder does not exist" in said
    assert f"python -m tuning.prepare --root {root} --raw PATH" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_folder_in_which_nothing_is_prepared_stays_as_it_is(command, tmp_path, capsys, monkeypatch):
    # The NumPy backend of the test process cannot train.
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("what appears here")
    assert importlib.import_module(f"tuning.{command}").main(["--root", str(tmp_path)]) == 3
    assert "no prepared data set" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README.md", "data"]
