"""Finds the code of a search space without running it: what its builder reaches in the user's own modules.

The syntax trees are compared, so that comments, docstrings, blanks, line ends, and functions that the builder never
calls do not count. Names are followed statically, from module to module; where that is impossible (a module passed as a
value, `globals()`, `eval`, a star import), the whole module counts. Statements that do more than define a name always
count, except those that only run in a script or a type checker. Imports that only happen at run time are not found.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: The package whose `__init__` is the table of spaces: adding a row there changes no space.
_TABLE = "search_spaces"
#: Names of folders of installed libraries, also of another Python's, as in environment modules of a cluster.
_LIBRARIES = frozenset({"site-packages", "dist-packages"})
#: Conditions that are never true in an imported module.
_NEVER_TRUE = frozenset({"__name__ == '__main__'", "'__main__' == __name__", "TYPE_CHECKING", "typing.TYPE_CHECKING"})
#: Names through which code can reach other names dynamically.
_DYNAMIC = frozenset({"globals", "locals", "vars", "eval", "exec", "__import__", "importlib"})


def reached_code(module: str, attribute: str, file: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Returns, by module, the statements that an attribute of `module` reaches, as normalised text, and the files.

    Args:
        module: dotted name.
        attribute: name of the builder in it.
        file: the module's file.
    """
    walk = _Walk()
    walk.modules[module] = _read(module, file)
    walk.reach(module, attribute)
    modules = {name: found for name, found in sorted(walk.modules.items()) if found is not None}
    code = {name: texts for name, found in modules.items() if (texts := found.texts())}
    return code, {name: modules[name].file for name in code}


@dataclass
class _Module:
    """One of the user's own modules.

    Attributes:
        statements: its top-level statements; empty if it cannot be parsed: then all of `text` counts.
        defined: name -> indices of the statements that bind it.
        parts: indices of statements that set an attribute of a function or class.
        reached: indices of the statements that count.
    """

    name: str
    file: Path
    statements: list[ast.stmt]
    text: str = ""
    defined: dict[str, list[int]] = field(default_factory=dict)
    parts: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)

    def texts(self) -> list[str]:
        return [self.text] if self.text else [_plain(self.statements[index]) for index in sorted(self.reached)]


def _read(name: str, file: Path) -> _Module:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return _Module(name, file, [], text=file.read_text(errors="replace").replace("\r\n", "\n"))
    statements = [statement for statement in tree.body if not _is_for_others(statement)]
    found = _Module(name, file, statements)
    for index, statement in enumerate(statements):
        for bound in _bound(statement):
            found.defined.setdefault(bound, []).append(index)
    for index, statement in enumerate(statements):
        # `build.starting_points = …` is a part of `build`.
        owners = {name for name in _owners(statement) if _is_definition(statements, found.defined.get(name, []))}
        for name in owners:
            found.defined[name].append(index)
            found.parts.add(index)
    return found


def _is_for_others(statement: ast.stmt) -> bool:
    """Returns whether a statement never runs in an imported module, but only in a script or a type checker."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    return ast.unparse(statement.test) in _NEVER_TRUE


def _owners(statement: ast.stmt) -> list[str]:
    """Returns the names whose attributes an assignment sets; none if it assigns to anything else too."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = [t.value.id for t in targets if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name)]
    return names if len(names) == len(targets) else []


def _is_definition(statements: list[ast.stmt], places: list[int]) -> bool:
    """Returns whether the first of the statements at these places defines a function or class."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return bool(places) and isinstance(statements[places[0]], kinds)


def _bound(statement: ast.stmt) -> list[str]:
    """Returns the names that a statement binds at the top level of its module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _only_defines(statement: ast.stmt) -> bool:
    """Returns whether a statement has no effect except for binding names."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not statement.decorator_list  # a decorator may register the function
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def _plain(statement: ast.stmt) -> str:
    """Returns a statement as normalised text, without docstrings."""
    copy = ast.parse(ast.unparse(statement))
    for node in ast.walk(copy):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(copy)


class _Walk:
    """Follows names through the user's own modules."""

    def __init__(self) -> None:
        #: By name; None: the module belongs to a library, or does not exist.
        self.modules: dict[str, _Module | None] = {}
        self._ran: set[str] = set()

    def module(self, name: str) -> _Module | None:
        if name not in self.modules:
            file = own_file(name)
            self.modules[name] = None if file is None else _read(name, file)
        return self.modules[name]

    def reach(self, name: str, attribute: str | None) -> None:
        """Marks an attribute of a module as reached, or all of it with None, and what importing it runs."""
        self._runs(name)
        module = self.module(name)
        if module is None:
            if attribute is not None and self.module(f"{name}.{attribute}") is not None:
                self.reach(f"{name}.{attribute}", None)  # in a namespace package
            return
        if name == _TABLE and attribute is None:
            return
        if attribute is not None and attribute not in module.defined:
            if self.module(f"{name}.{attribute}") is not None:
                self.reach(f"{name}.{attribute}", None)
                return
            stars = any(_is_star(statement) for statement in module.statements)
            attribute = None if stars or attribute not in ("__doc__", "__name__", "__file__") else attribute
        for index in range(len(module.statements)) if attribute is None else module.defined.get(attribute, ()):
            self._statement(module, index)

    def _effects(self, module: _Module) -> None:
        """Marks as reached what runs when a module is imported, and when it imports others."""
        if module.name in self._ran:
            return
        self._ran.add(module.name)
        for index, statement in enumerate(module.statements):
            if index not in module.parts and (not _only_defines(statement) or _is_star(statement)):
                self._statement(module, index)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                for target, attribute in _imported(module, statement, None):
                    for name in (target, f"{target}.{attribute}") if attribute else (target,):
                        self._runs(name)

    def _runs(self, name: str) -> None:
        for package in _packages(name):
            if package != _TABLE and (found := self.module(package)) is not None:
                self._effects(found)

    def _statement(self, module: _Module, index: int) -> None:
        if index in module.reached:
            return
        module.reached.add(index)
        statement = module.statements[index]
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for target, name in _imported(module, statement, None):
                self.reach(target, name)
            return
        used = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        if any(node.id in _DYNAMIC for node in used):
            for other in range(len(module.statements)):
                self._statement(module, other)
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target, name in _imported(module, node, None):
                    self.reach(target, name)
        through = {id(node.value): node.attr for node in ast.walk(statement) if isinstance(node, ast.Attribute)}
        for node in used:
            for place in module.defined.get(node.id, ()):
                self._used(module, place, node.id, through.get(id(node)))

    def _used(self, module: _Module, place: int, name: str, attribute: str | None) -> None:
        """Marks as reached what a use of `name` refers to.

        Args:
            place: index of the statement that binds `name`.
            attribute: the attribute of `name` that is used, if known; for imported modules only this is reached.
        """
        statement = module.statements[place]
        if isinstance(statement, ast.Import) and attribute is not None:
            module.reached.add(place)
            for alias in statement.names:
                if alias.asname == name:
                    self.reach(alias.name, attribute)
                elif alias.asname is None and alias.name.partition(".")[0] == name:
                    # `import a.b`, then `a.b.c`: which attribute is used is not examined, so all of `a.b` counts.
                    self.reach(alias.name, attribute if alias.name == name else None)
            return
        if isinstance(statement, ast.ImportFrom):
            module.reached.add(place)
            for target, imported in _imported(module, statement, name):
                whole = f"{target}.{imported}"
                is_module = (found := self.module(target)) is None or imported not in found.defined
                if is_module and self.module(whole) is not None:
                    self.reach(whole, attribute)
                else:
                    self.reach(target, imported)
            return
        self._statement(module, place)


def _is_star(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names)


def _packages(name: str) -> Iterator[str]:
    """Yields `a`, `a.b` and `a.b.c` for `a.b.c`: importing the last one runs all."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _imported(
    module: _Module, statement: ast.Import | ast.ImportFrom, only: str | None
) -> Iterator[tuple[str, str | None]]:
    """Yields (module, attribute; None: the whole module) for what a statement imports, or only for the name `only`."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, None) for alias in statement.names)
        return
    base = statement.module or ""
    if statement.level:
        is_package = module.file.name == "__init__.py"
        parents = module.name.split(".")[: len(module.name.split(".")) - statement.level + is_package]
        base = ".".join([*parents, *filter(None, [base])])
    for alias in statement.names:
        if only is None or only == (alias.asname or alias.name):
            yield base, None if alias.name == "*" else alias.name


def own_file(module: str) -> Path | None:
    """Returns the file of one of the user's own modules; None for those of Python, this package or a library."""
    first, *rest = module.split(".")
    if not module or first in sys.stdlib_module_names or first == "tuning":
        return None
    for folder in _own_folders(tuple(sys.path)):
        if (folder / first).is_dir() or (folder / f"{first}.py").is_file():
            if first in _libraries(folder):
                return None
            path = folder.joinpath(first, *rest)
            for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
                if file.is_file():
                    return file
    return None


@functools.cache
def _own_folders(paths: tuple[str, ...]) -> list[Path]:
    """Returns the folders of `sys.path` that may contain the user's modules, rather than Python's or installed ones."""
    known = sysconfig.get_paths()
    installed = {Path(known[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed |= {Path(folder).resolve() for folder in (*site.getsitepackages(), site.getusersitepackages())}
    folders = [Path(entry or ".").resolve() for entry in paths]
    return [
        folder
        for folder in dict.fromkeys(folders)
        if folder.is_dir()
        and folder not in installed
        and not installed.intersection(folder.parents)
        and _LIBRARIES.isdisjoint(folder.parts)
    ]


@functools.cache
def _libraries(folder: Path) -> frozenset[str]:
    """Returns the top-level names of packages installed into a folder, such as one that the user put on PYTHONPATH."""
    found: set[str] = set()
    # Read as text: importlib.metadata checks whether each file exists, which takes minutes on a shared disk.
    for record in folder.glob("*.dist-info/RECORD"):
        with contextlib.suppress(OSError):
            lines = record.read_text(errors="replace").splitlines()
            found.update(line.partition(",")[0].partition("/")[0].partition(".")[0] for line in lines)
    return frozenset(found)
