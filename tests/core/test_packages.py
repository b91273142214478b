from __future__ import annotations

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
