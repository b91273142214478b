from __future__ import annotations

from tuning import packages


def test_any_build_of_opencv_will_do(monkeypatch):
    versions = {"opencv-python-headless": None, "opencv-python": "5.0.0.1"}
    monkeypatch.setattr(packages, "version", lambda name: versions.get(name, "1"))
    (found,) = [package for package in packages.packages() if "opencv" in package.name]
    assert (found.name, found.installed, found.suits) == ("opencv-python", "5.0.0.1", True)


def test_requirements_read_the_same_from_installed_metadata():
    lines = [
        f'{line}; extra == "{extra}"' if extra else line
        for extra, lines in packages.requirements().items()
        for line in lines
    ]
    assert packages._from_metadata(lines) == packages.requirements()
    assert any(line.startswith("tensorflow") for line in packages.requirements()[None])
