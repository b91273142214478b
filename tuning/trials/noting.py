"""Hyperparameter values that note which of them a builder looks at, in whatever way it does."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any


class NotingValues(dict):
    """The values of a `HyperParameters` while its model is built.

    Attributes:
        read: names that were looked at until `close`; looking at all of them at once reads all.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()
        self._closed = False

    def close(self) -> None:
        """Ends the noting: whoever looks from now on is not the builder."""
        self._closed = True

    def note(self, *names: str) -> None:
        if not self._closed:
            self.read.update(names)


def _noting(method: str, one: bool):
    """A method of `dict` that notes the name it is called with, or else all."""
    plain = getattr(dict, method)

    @functools.wraps(plain)
    def noting(self: NotingValues, *arguments: Any) -> Any:
        self.note(*(arguments[:1] if one else dict.keys(self)))
        return plain(self, *arguments)

    return noting


for _method in ("__getitem__", "__contains__", "get", "pop", "setdefault"):
    setattr(NotingValues, _method, _noting(_method, one=True))
# With `__iter__` among them, `dict(values)` and `{**values}` come by here, too.
for _method in (
    *("__iter__", "__reversed__", "__eq__", "__ne__", "__or__", "__ror__", "__repr__"),
    *("keys", "items", "values", "copy", "popitem"),
):
    setattr(NotingValues, _method, _noting(_method, one=False))
