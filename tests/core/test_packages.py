from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuning.core import packages


def test_any_build_of_opencv_will_do(monkeypatch):
    versions = {"opencv-python-headless": None, "opencv-python": "5.0.0.1"}
    monkeypatch.setattr(packages, "version", lambda name: versions.get(name, "1"))
    (found,) = [package for package in packages.packages() if "opencv" in package.name]
    assert (found.name, found.installed, found.suits) == ("opencv-python", "5.0.0.1", True)


@pytest.mark.parametrize("line", ["tune[basic]>=0.16", "tune >=0.16", "tune>=0.16"])
def test_a_requirement_may_name_extras(line):
    assert packages._split(line) == ("tune", ">=0.16")


def test_requirements_read_the_same_from_installed_metadata():
    lines = [
        f'{line}; extra == "{extra}"' if extra else line
        for extra, lines in packages.requirements().items()
        for line in lines
    ]
    assert packages._from_metadata(lines) == packages.requirements()
    assert any(line.startswith("tensorflow") for line in packages.requirements()[None])


def test_python_s_own_error_says_what_to_do():
    """Who imports this with another Python than that of `.venv`, in a notebook for example."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); import tuning; tuning.run_search"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: the package ") and "activate .venv, or pip install -e ." in last


def test_a_folder_with_the_name_of_a_package_is_not_that(monkeypatch, tmp_path):
    """As `--mlflow mlflow` makes one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("folder_alone", "package_whole"):
        (tmp_path / name).mkdir()
    (tmp_path / "package_whole" / "__init__.py").touch()
    found = {name: packages.importable(name) for name in ("folder_alone", "package_whole", "nowhere_at_all")}
    assert found == {"folder_alone": False, "package_whole": True, "nowhere_at_all": False}
