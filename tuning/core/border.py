"""The border of the Python API: converts a caller's arguments to what the packages expect, or raises a `UsageError`.

Text becomes a path or a `Workspace`, and a function or class of an importable module becomes its name. Numbers, text
and switches are checked against their annotations.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace

#: The `__main__` module of a worker process.
_WORKER = "tuning.engine.executors.worker"
_PLAIN = (int, float, str, bool, type(None))


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `function` so that its arguments are checked and converted first."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: Any, **given: Any) -> Any:
        _refuse_in_worker(function)
        hints = _hints(function)
        names = list(signature.parameters)[: len(arguments)]
        positional = [_converted(name, value, hints.get(name)) for name, value in zip(names, arguments, strict=False)]
        named = {name: _converted(name, value, hints.get(name)) for name, value in given.items()}
        return function(*positional, *arguments[len(names) :], **named)

    return call


def _refuse_in_worker(function: Callable[..., Any]) -> None:
    """Refuses a search within a search: a worker that imports the builder's module also runs its top-level code.

    Raises:
        UsageError: this process is a worker; the remedy says where the call belongs.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if function.__module__.startswith("tuning.pipeline.") and main is not None and main.name == _WORKER:
        raise UsageError(
            f"{function.__name__} is called while a worker imports the module of the builder",
            'put that call under `if __name__ == "__main__":`, or the builder into a file of its own',
        )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError:  # an annotation names something imported only for type checkers; check the other arguments
        hints = {}
        for name, hint in function.__annotations__.items():
            with contextlib.suppress(NameError):
                hints[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
        return hints


def _converted(name: str, value: Any, hint: Any) -> Any:
    if name == "workspace":
        return _workspace(value)
    if name == "space":
        return space_name(value)
    if name in ("base", "base_weights") and isinstance(value, os.PathLike):
        return os.fspath(value)
    if hint is None:
        return _python(value)
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in kinds:
        return None
    if all(kind in _PLAIN for kind in kinds):
        return _plain(name, value, kinds)
    (kind,) = kinds if len(kinds) == 1 else (None,)
    if isinstance(kind, type) and getattr(kind, "_is_protocol", False):
        if missing := [method for method in _methods(kind) if not callable(getattr(value, method, None))]:
            raise UsageError(
                f"{name} is {value!r}, which has no {missing[0]}()", f"give a {kind.__name__}, such as tuning.Console()"
            )
    elif kind is Path and isinstance(value, str | os.PathLike):
        return Path(os.path.expanduser(value))
    elif isinstance(kind, type) and not isinstance(value, kind):
        ours = kind.__module__.startswith("tuning.")
        raise UsageError(f"{name} is {value!r}", f"give a {f'tuning.{kind.__name__}(…)' if ours else kind.__name__}")
    return value


def _workspace(value: Any) -> Workspace:
    if isinstance(value, Workspace):
        return value
    if isinstance(value, str | os.PathLike):
        return Workspace(value)  # type: ignore[arg-type]
    raise UsageError(f"workspace is {value!r}", "give a folder as text or Path, or a tuning.Workspace(folder)")


def _plain(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    plain = _python(value)
    numbers = int in kinds or float in kinds
    fits = (
        (isinstance(plain, bool) and bool in kinds)
        or (isinstance(plain, int) and not isinstance(plain, bool) and numbers)
        or (isinstance(plain, float) and (float in kinds or plain.is_integer()) and numbers)
        or (isinstance(plain, str) and str in kinds)
    )
    if not fits:
        words = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
        raise UsageError(f"{name} is {value!r}", f"give {' or '.join(words[kind] for kind in kinds if kind in words)}")
    return int(plain) if isinstance(plain, float) and float not in kinds else plain


def _python(value: Any) -> Any:
    """Converts a NumPy scalar to a Python one; returns anything else unchanged."""
    return value.item() if hasattr(value, "item") and not getattr(value, "shape", None) else value


def _methods(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")]


def space_name(value: Any) -> Any:
    """The name `module:attribute` of a space that is given as a function, class or object; text and None stay.

    Raises:
        UsageError: no imported module holds it, so that workers could not import it.
    """
    if value is None or isinstance(value, str):
        return value
    if not callable(value) and not hasattr(value, "build"):
        raise UsageError(f"space is {value!r}", "give a name, a function or a HyperModel")
    inner = value.func if isinstance(value, functools.partial) else value
    module = getattr(inner, "__module__", type(value).__module__)
    candidates = [module, *(name for name, loaded in list(sys.modules.items()) if isinstance(loaded, types.ModuleType))]
    for name in dict.fromkeys(candidates):
        holder = sys.modules.get(name)
        for attribute, member in list(vars(holder).items()) if holder is not None and name != "__main__" else ():
            if member is value:
                return f"{name}:{attribute}"
    raise UsageError(
        f"space is {value!r}, which no module holds by a name",
        "put it into a file of its own, as a function, class, or variable, and give that; workers import it from there",
    )
