"""Hyperparameter values that note which of them a builder looks at, in whatever way it does."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any


class NotingValues(dict):
    """The values of a `HyperParameters` while its model is built.

    Attributes:
        read: names that were looked at until `close`, whether or not they had a value.
        incomplete: whether `read` may lack some: the builder looked at all values at once, and so at which
            are missing, or may look at any of them later.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()
        self.incomplete = False
        self._closed = False

    def close(self) -> None:
        """Ends the noting: whoever looks from now on is not the builder."""
        self._closed = True

    def note(self, name: str) -> None:
        if not self._closed:
            self.read.add(name)

    def note_all(self) -> None:
        if not self._closed:
            self.incomplete = True


def _noting(method: str, one: bool):
    """A method of `dict` that notes the name it is called with, or else all."""
    plain = getattr(dict, method)

    @functools.wraps(plain)
    def noting(self: NotingValues, *arguments: Any) -> Any:
        if one:
            self.note(arguments[0])
        else:
            self.note_all()
        return plain(self, *arguments)

    return noting


for _method in ("__getitem__", "__delitem__", "__contains__", "get", "pop", "setdefault"):
    setattr(NotingValues, _method, _noting(_method, one=True))
# With `__iter__` among them, `dict(values)` and `{**values}` come by here, too.
for _method in (
    *("__iter__", "__len__", "__reversed__", "__eq__", "__ne__", "__or__", "__ror__", "__repr__"),
    *("keys", "items", "values", "copy", "popitem"),
):
    setattr(NotingValues, _method, _noting(_method, one=False))
