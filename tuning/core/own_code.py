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
_Cache = dict[str, tuple[int, int, str]]


@cache
def own_digest() -> str:
    """The first characters of a sha256 of this package's code, as its files are at the first call."""
    return digest_of(PACKAGE, Path(cache_from_source(str(PACKAGE / "own_code.py"))).with_suffix(".json"))


def digest_of(package: Path, cache_file: Path) -> str:
    """The digest of the modules below `package`."""
    cached = _read(cache_file)
    current: _Cache = {}
    for path in sorted(package.rglob("*.py")):
        name, state = path.relative_to(package).as_posix(), path.stat()
        size, time, text = cached.get(name, (-1, -1, ""))
        if (size, time) != (state.st_size, state.st_mtime_ns):
            text = module_digest(path.read_bytes())
        current[name] = (state.st_size, state.st_mtime_ns, text)
    if current != cached and not sys.dont_write_bytecode:
        # As with Python's compiled modules, a cache that cannot be written is no error.
        with contextlib.suppress(OSError):
            cache_file.parent.mkdir(exist_ok=True)
            partial = cache_file.with_suffix(f".{hashlib.sha256(repr(current).encode()).hexdigest()[:8]}")
            partial.write_text(json.dumps(current))
            partial.replace(cache_file)
    return digest({name: text for name, (_, _, text) in current.items()})[:SHORT]


def module_digest(source: bytes) -> str:
    """sha256 of a module's syntax tree without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _read(path: Path) -> _Cache:
    try:
        entries = json.loads(path.read_text()).items()
        return {name: (int(size), int(time), str(text)) for name, (size, time, text) in entries}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
