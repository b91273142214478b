"""The code of a search space, found without running it: what its builder reaches in a person's own modules.

What is compared is the syntax tree: neither comments, docstrings, blanks and line ends nor functions that the builder
never calls are the space's code. Names are followed statically, from module to module; where that cannot be done (a
module handed on as a value, `globals()`, `eval`, an import with a star), the whole module counts. Statements of a
module that do more than to define a name always count, but for what runs in a script or a type checker alone. An import
that only happens at run time is not seen.
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

#: Its `__init__` is the table of spaces: a row that is added there changes no space.
_TABLE = "search_spaces"
#: Folders of installed libraries, this Python's or, as a cluster's environment modules have it, another one's.
_LIBRARIES = frozenset({"site-packages", "dist-packages"})
#: Conditions that never hold in a module that is imported.
_NEVER_TRUE = frozenset({"__name__ == '__main__'", "'__main__' == __name__", "TYPE_CHECKING", "typing.TYPE_CHECKING"})
#: Calls that reach names which do not stand in the code.
_DYNAMIC = frozenset({"globals", "locals", "vars", "eval", "exec", "__import__", "importlib"})


def reached_code(module: str, attribute: str, file: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """By module: the statements that an attribute of one reaches, each as plain text, in their order; and its file.

    Args:
        module: dotted name.
        file: where it is.
    """
    walk = _Walk()
    walk.modules[module] = _read(module, file)
    walk.reach(module, attribute.partition(".")[0])
    modules = {name: found for name, found in sorted(walk.modules.items()) if found is not None}
    code = {name: texts for name, found in modules.items() if (texts := found.texts())}
    return code, {name: modules[name].file for name in code}


@dataclass
class _Module:
    """A module of a person's own.

    Attributes:
        statements: at its top level; empty where Python cannot read it, and then `text` counts.
        defined: name -> the statements that bind it.
        parts: numbers of statements that set an attribute of a function or class.
        reached: numbers of the statements that count.
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
        owners = {name for name in _owners(statement) if _is_own(statements, found.defined.get(name, []))}
        for name in owners:
            found.defined[name].append(index)
            found.parts.add(index)
    return found


def _is_for_others(statement: ast.stmt) -> bool:
    """Whether it runs only where its file is a script, or not at all: no module that is imported has it."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    return ast.unparse(statement.test) in _NEVER_TRUE


def _owners(statement: ast.stmt) -> list[str]:
    """The names whose attributes an assignment sets; none where it does anything else."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = [t.value.id for t in targets if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name)]
    return names if len(names) == len(targets) else []


def _is_own(statements: list[ast.stmt], places: list[int]) -> bool:
    """Whether a function or class stands at each of these places."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return bool(places) and isinstance(statements[places[0]], kinds)


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement binds at the top level of its module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _only_defines(statement: ast.stmt) -> bool:
    """Whether a statement matters to nobody who does not use the names that it binds."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not statement.decorator_list  # one that registers what it is given
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def _plain(statement: ast.stmt) -> str:
    """A statement without its docstrings, written in one way."""
    copy = ast.parse(ast.unparse(statement))
    for node in ast.walk(copy):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(copy)


class _Walk:
    """Follows names through the modules of a person's own."""

    def __init__(self) -> None:
        #: None: it is a library's, or nowhere.
        self.modules: dict[str, _Module | None] = {}
        self._ran: set[str] = set()

    def module(self, name: str) -> _Module | None:
        if name not in self.modules:
            file = own_file(name)
            self.modules[name] = None if file is None else _read(name, file)
        return self.modules[name]

    def reach(self, name: str, attribute: str | None) -> None:
        """Reaches an attribute of a module, or, with None, all of it; and what importing it runs."""
        self._runs(name)
        module = self.module(name)
        if module is None:
            if attribute is not None and self.module(f"{name}.{attribute}") is not None:
                self.reach(f"{name}.{attribute}", None)  # within a folder without code of its own
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
        """What runs when a module is imported, and when it imports others."""
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
        """A statement uses `name`, which the one at `place` binds; of a module, the attribute where it says which."""
        statement = module.statements[place]
        if isinstance(statement, ast.Import) and attribute is not None:
            module.reached.add(place)
            for alias in statement.names:
                if alias.asname == name:
                    self.reach(alias.name, attribute)
                elif alias.asname is None and alias.name.partition(".")[0] == name:
                    # `import a.b`, and then a.b.c: what of it, is not looked at.
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
    """`a`, `a.b` and `a.b.c` of `a.b.c`: importing the last runs all."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _imported(
    module: _Module, statement: ast.Import | ast.ImportFrom, only: str | None
) -> Iterator[tuple[str, str | None]]:
    """(module, attribute or None for all of it) of what a statement imports; with `only`, of that name alone."""
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
    """The file of a module of a person's own; None for what Python, this package or a library brings."""
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
    """The folders of `sys.path` that may hold a person's modules, not Python's or installed ones."""
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
    """First names of what was installed into a folder that a person put on PYTHONPATH."""
    found: set[str] = set()
    # Read as text: importlib.metadata looks whether each file is there, which takes minutes on a shared disk.
    for record in folder.glob("*.dist-info/RECORD"):
        with contextlib.suppress(OSError):
            lines = record.read_text(errors="replace").splitlines()
            found.update(line.partition(",")[0].partition("/")[0].partition(".")[0] for line in lines)
    return frozenset(found)
