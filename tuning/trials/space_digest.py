"""The code that a search space is made of, found without running it."""

from __future__ import annotations

import contextlib
import site
import sys
import sysconfig
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from tuning.core.files import digest, sha256_file

#: Its `__init__` is the table of spaces: a row that is added there changes no space.
_TABLE = "search_spaces"


def code_digest(module: str, file: Path) -> str:
    """sha256 over the module's file and every module of the user's own that it imports, directly or not.

    Libraries are left out: their versions are not the space's code. An import that only happens at run time
    (`importlib`, `exec`) is not seen.

    Args:
        module: dotted name.
        file: where it is.
    """
    finder = _Finder(path=_own_folders(), excludes=["tuning"])
    # Importing it will say what is wrong; the file itself is code all the same.
    with contextlib.suppress(ImportError, SyntaxError, ValueError):
        finder.import_hook(module)
    origins = {name: found.__file__ for name, found in finder.modules.items() if name != _TABLE}  # type: ignore[attr-defined]
    files = {name: Path(origin) for name, origin in origins.items() if origin}
    files[module] = file
    return digest({name: sha256_file(path) for name, path in files.items() if path.suffix == ".py" and path.is_file()})


class _Finder(ModuleFinder):
    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        try:
            return super().find_module(name, path, parent)
        except AttributeError:
            # It trips over a folder without an `__init__`, which Python itself takes for a package.
            raise ImportError(name) from None


def _own_folders() -> list[str]:
    """The folders of `sys.path` that hold the user's modules, not Python's or installed ones."""
    paths = sysconfig.get_paths()
    installed = {Path(paths[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed |= {Path(folder).resolve() for folder in (*site.getsitepackages(), site.getusersitepackages())}
    folders = [Path(entry or ".").resolve() for entry in sys.path]
    return [
        str(folder)
        for folder in folders
        if folder.is_dir() and folder not in installed and not installed.intersection(folder.parents)
    ]
