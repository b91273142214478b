"""A digest of this package's own code, because `__version__` is the same in every revision between two releases.

It covers the syntax tree of every module, without comments, docstrings, blanks and line ends. Parsing all modules takes
a second, so each module's digest is cached beside Python's compiled modules; it is valid while size and modification
time of the module are the same.
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
#: Number of a digest's characters that are shown and stored.
SHORT = 12

#: Path of a module below the package -> (size, modification time in ns, digest).
_Kept = dict[str, tuple[int, int, str]]


@cache
def own_digest() -> str:
    """The first characters of a sha256 of this package's code, as its files are at the first call."""
    return digest_of(PACKAGE, Path(cache_from_source(str(PACKAGE / "own_code.py"))).with_suffix(".json"))


def digest_of(package: Path, kept_in: Path) -> str:
    """The digest of the modules below `package`; `kept_in` is the cache file."""
    known = _read(kept_in)
    found: _Kept = {}
    for path in sorted(package.rglob("*.py")):
        name, state = path.relative_to(package).as_posix(), path.stat()
        before = known.get(name)
        same = before is not None and tuple(before[:2]) == (state.st_size, state.st_mtime_ns)
        text = before[2] if before is not None and same else module_digest(path.read_bytes())
        found[name] = (state.st_size, state.st_mtime_ns, text)
    if found != known and not sys.dont_write_bytecode:
        # As with Python's compiled modules, a cache that cannot be written is no error.
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
