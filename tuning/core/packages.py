"""Checks which required packages are installed, without importing them."""

from __future__ import annotations

import configparser
import importlib.util
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tuning.core.own_code import own_digest

DISTRIBUTION = "face-tuning"
#: What the digest of this package's own code is called among versions.
CODE = "package code"

#: Packages that bring the same modules: one of them is enough.
_SAME_MODULES = (
    ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
)
#: What a distribution is imported as, where that is not its name.
_IMPORTED_AS = {
    "ai-edge-litert": "ai_edge_litert",
    "keras-tuner": "keras_tuner",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "PyYAML": "yaml",
    "scikit-learn": "sklearn",
}


@dataclass(frozen=True)
class Package:
    """One requirement of this project.

    Attributes:
        name: of the distribution; an installed one that brings the same modules counts, and is named here then.
        wanted: the versions that will do, e.g. ">=3.15.1"; empty: any.
        installed: the installed version; None: it is missing.
        suits: whether that version will do.
        extra: the extra it belongs to; None: always needed.
    """

    name: str
    wanted: str
    installed: str | None
    suits: bool
    extra: str | None


def packages() -> list[Package]:
    """Every requirement, extras last, with what is installed of it."""
    return [_package(line, extra) for extra, lines in requirements().items() for line in lines]


def versions(backend: str) -> dict[str, str]:
    """Versions that results depend on: this package's, Keras's and its backend's, and Python's but for the last number;
    and a digest of this package's code, which changes between its versions.

    Imports none of them.
    """
    import tuning

    found = {
        "package": tuning.__version__,
        CODE: own_digest(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    for name, distributions in {
        "keras": ("keras", "keras-nightly"),
        backend: (backend, f"{backend}-cpu", f"{backend}-macos", "tf-nightly"),
    }.items():
        if there := next(filter(None, map(version, distributions)), None):
            found[name] = there
    return found


def install_line(extra: str) -> str:
    """The line that installs an extra: from the folder with setup.cfg where this runs from one, else by name."""
    return f"pip install -e '.[{extra}]'" if _settings() else f"pip install '{DISTRIBUTION}[{extra}]'"


def upgrade_line() -> str:
    """The line that brings all that is always needed up to date."""
    return f"pip install --upgrade {'-r requirements.txt' if _settings() else DISTRIBUTION}"


def missing() -> str | None:
    """The first of the packages that are always needed which this Python does not have; imports none of them."""
    names = (_split(line)[0] for line in requirements()[None])
    return next((name for name in names if not importable(_IMPORTED_AS.get(name, name))), None)


def remedy(module: str) -> str:
    """What to do where importing `module`, or what it belongs to, failed because it is not installed."""
    top = module.partition(".")[0]
    for extra, lines in requirements().items():
        if extra and top in (_IMPORTED_AS.get(name, name) for name, _ in map(_split, lines)):
            return f"run: {install_line(extra)}"
    return "activate .venv, or pip install -e ." if _settings() else f"run: pip install {DISTRIBUTION}"


def importable(module: str) -> bool:
    """Whether a package is installed; a folder of that name in the current one is not it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        return False
    return found is not None and found.origin is not None


def requirements() -> dict[str | None, list[str]]:
    """extra -> its requirement lines; None for what is always needed.

    From setup.cfg beside the package; where it was installed without it, from the installed metadata.
    """
    parser = _settings()
    if parser:
        return {
            None: _lines(parser["options"]["install_requires"]),
            **{extra: _lines(text) for extra, text in parser["options.extras_require"].items()},
        }
    try:
        return _from_metadata(metadata.requires(DISTRIBUTION) or [])
    except metadata.PackageNotFoundError:
        # Code that was copied rather than installed.
        return {None: [DISTRIBUTION]}


def _settings() -> configparser.ConfigParser | None:
    """setup.cfg beside the package; None where it was installed without it."""
    path = Path(__file__).resolve().parents[2] / "setup.cfg"
    parser = configparser.ConfigParser(interpolation=None)
    if parser.read(path, encoding="utf-8") and parser.get("metadata", "name", fallback=None) == DISTRIBUTION:
        return parser
    return None


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _from_metadata(lines: list[str]) -> dict[str | None, list[str]]:
    """Lines such as `pytest>=9.0; extra == "test"`; setuptools writes no other markers for this project."""
    result: dict[str | None, list[str]] = {None: []}
    for line in lines:
        text, _, marker = line.partition(";")
        extra = marker.partition("extra ==")[2].strip(" \"'") or None
        result.setdefault(extra, []).append(text.strip())
    return result


def _package(line: str, extra: str | None) -> Package:
    name, wanted = _split(line)
    same = next((names for names in _SAME_MODULES if name in names), ())
    found = {other: there for other in (name, *same) if (there := version(other))}
    name = next(iter(found), name)
    installed = found.get(name)
    return Package(name, wanted, installed, installed is not None and _suits(installed, wanted), extra)


def _split(line: str) -> tuple[str, str]:
    """Name and wanted versions of a requirement line without extras and markers."""
    end = next((index for index, character in enumerate(line) if character in "[<>=!~ "), len(line))
    name, rest = line[:end], line[end:]
    return name, (rest.partition("]")[2] if rest.startswith("[") else rest).strip()


def _suits(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ModuleNotFoundError:
        # It comes with the packages that are being looked for; without it, being there is all that can be said.
        return True
    return SpecifierSet(wanted).contains(version, prereleases=True)


def version(name: str) -> str | None:
    """The installed version of a distribution; None: it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
