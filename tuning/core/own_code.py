"""A digest of this package's own code: `__version__` is the same in every revision between two releases.

What counts is the syntax tree of every module: no comment, docstring, blank or line end. Parsing them all takes a
second, so each module's digest is kept beside Python's own compiled modules, as long as size and time of its file are
the same.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import sys
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from tuning.core.files import digest

PACKAGE = Path(__file__).resolve().parents[1]
#: Characters of a digest that are shown and kept.
SHORT = 12

#: Module, as a path below the package -> [size, time, digest].
_Kept = dict[str, tuple[int, int, str]]


@cache
def own_digest() -> str:
    """The beginning of a sha256 over the code of this package, as its files are when it is first asked for."""
    return digest_of(PACKAGE, Path(cache_from_source(str(PACKAGE / "own_code.py"))).with_suffix(".json"))


def digest_of(package: Path, kept_in: Path) -> str:
    """The digest of the modules below a folder; what is known of them is read from, and written to, `kept_in`."""
    known = _read(kept_in)
    found: _Kept = {}
    for path in sorted(package.rglob("*.py")):
        name, state = path.relative_to(package).as_posix(), path.stat()
        before = known.get(name)
        same = before is not None and tuple(before[:2]) == (state.st_size, state.st_mtime_ns)
        text = before[2] if before is not None and same else module_digest(path.read_bytes())
        found[name] = (state.st_size, state.st_mtime_ns, text)
    if found != known and not sys.dont_write_bytecode:
        # As Python does with its compiled modules: where it cannot be written, it is done without.
        with contextlib.suppress(OSError):
            kept_in.parent.mkdir(exist_ok=True)
            partial = kept_in.with_suffix(f".{hashlib.sha256(repr(found).encode()).hexdigest()[:8]}")
            partial.write_text(json.dumps(found))
            partial.replace(kept_in)
    return digest({name: text for name, (_, _, text) in found.items()})[:SHORT]


def module_digest(source: bytes) -> str:
    """sha256 of a module's syntax tree without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _read(path: Path) -> _Kept:
    try:
        entries = json.loads(path.read_text()).items()
        return {name: (int(size), int(time), str(text)) for name, (size, time, text) in entries}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
