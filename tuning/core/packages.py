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
#: Name of the digest of this package's own code among the versions.
CODE = "package code"

#: Distributions that provide the same modules: one of them is enough.
_SAME_MODULES = (
    ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
)
#: Distribution -> the module that it is imported as, if the names differ.
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
        name: of the distribution, or of an installed one that provides the same modules.
        wanted: the accepted versions, e.g. ">=3.15.1"; empty: any.
        installed: the installed version; None: it is missing.
        suits: whether the installed version is accepted.
        extra: the extra that it belongs to; None: it is always needed.
    """

    name: str
    wanted: str
    installed: str | None
    suits: bool
    extra: str | None


def packages() -> list[Package]:
    """Every requirement with its installed version, those of extras last."""
    return [_package(line, extra) for extra, lines in requirements().items() for line in lines]


def versions(backend: str) -> dict[str, str]:
    """The versions that results depend on: this package, Keras, its backend, and Python (major.minor); and a digest of
    this package's code, which changes between its versions.

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
        if installed := next(filter(None, map(version, distributions)), None):
            found[name] = installed
    return found


def install_line(extra: str) -> str:
    """The command that installs an extra: from the source folder if this package runs from one, else by name."""
    return f"pip install -e '.[{extra}]'" if _settings() else f"pip install '{DISTRIBUTION}[{extra}]'"


def upgrade_line() -> str:
    """The command that updates all required packages, extras excluded."""
    return f"pip install --upgrade {'-r requirements.txt' if _settings() else DISTRIBUTION}"


def missing() -> str | None:
    """The first required package, extras excluded, that is not installed; imports none of them."""
    names = (_split(line)[0] for line in requirements()[None])
    return next((name for name in names if not importable(_IMPORTED_AS.get(name, name))), None)


def remedy(module: str) -> str:
    """The remedy for a failed import of `module`, whose package is not installed."""
    top = module.partition(".")[0]
    for extra, lines in requirements().items():
        if extra and top in (_IMPORTED_AS.get(name, name) for name, _ in map(_split, lines)):
            return f"run: {install_line(extra)}"
    return "activate .venv, or pip install -e ." if _settings() else f"run: pip install {DISTRIBUTION}"


def importable(module: str) -> bool:
    """Whether a package is installed; a mere folder of that name (a namespace package) does not count."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        return False
    return found is not None and found.origin is not None


def requirements() -> dict[str | None, list[str]]:
    """Extra -> its requirement lines; None -> those that are always needed.

    Read from setup.cfg beside the package, or from the installed metadata if there is none.
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
        # The code was copied rather than installed.
        return {None: [DISTRIBUTION]}


def _settings() -> configparser.ConfigParser | None:
    """The parsed setup.cfg beside the package; None if the package was installed without it."""
    path = Path(__file__).resolve().parents[2] / "setup.cfg"
    parser = configparser.ConfigParser(interpolation=None)
    if parser.read(path, encoding="utf-8") and parser.get("metadata", "name", fallback=None) == DISTRIBUTION:
        return parser
    return None


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _from_metadata(lines: list[str]) -> dict[str | None, list[str]]:
    """Parses lines such as `pytest>=9.0; extra == "test"`; setuptools writes no other markers for this project."""
    result: dict[str | None, list[str]] = {None: []}
    for line in lines:
        text, _, marker = line.partition(";")
        extra = marker.partition("extra ==")[2].strip(" \"'") or None
        result.setdefault(extra, []).append(text.strip())
    return result


def _package(line: str, extra: str | None) -> Package:
    name, wanted = _split(line)
    alternatives = next((names for names in _SAME_MODULES if name in names), ())
    installed = {other: found for other in (name, *alternatives) if (found := version(other))}
    name = next(iter(installed), name)
    suits = name in installed and _suits(installed[name], wanted)
    return Package(name, wanted, installed.get(name), suits, extra)


def _split(line: str) -> tuple[str, str]:
    """Splits a requirement line without markers into name and accepted versions; drops its extras in brackets."""
    end = next((index for index, character in enumerate(line) if character in "[<>=!~ "), len(line))
    name, rest = line[:end], line[end:]
    return name, (rest.partition("]")[2] if rest.startswith("[") else rest).strip()


def _suits(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ModuleNotFoundError:
        # `packaging` comes with the required packages; without it, any installed version counts.
        return True
    return SpecifierSet(wanted).contains(version, prereleases=True)


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
