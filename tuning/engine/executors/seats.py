"""The resources that a trial requests from a cluster, and how many trials fit on its nodes. Does not need Ray."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tuning.core.errors import UsageError

#: Ray's label that holds a node's id.
NODE_LABEL = "ray.io/node-id"
_FLAG = "--ray-resources"
_REMEDY = "give for example CPU=1,GPU=0.5,memory=4g,NAME=1,label:KEY=VALUE; label:KEY=!VALUE for any other value"
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The resources that one trial requests.

    Attributes:
        cpus, gpus: numbers of logical CPUs and GPUs; gpus None: a share of the cluster's GPUs, see `shared_by`.
        memory: bytes that Ray reserves on a node; 0: none.
        others: amounts of the cluster's custom resources, by name.
        labels: required values of a node's labels, by key; "!" before a value: any other value.
    """

    cpus: float = 1
    gpus: float | None = None
    memory: int = 0
    others: dict[str, float] = {}
    labels: dict[str, str] = {}

    def text(self) -> str:
        """The request in the form of `--ray-resources`."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus or 0, **self.others}
        parts = [f"{name}={amount:g}" for name, amount in amounts.items() if amount]
        if self.memory:
            parts.append(f"memory={self.memory / 2**30:.3g}g")
        parts += [f"label:{key}={value}" for key, value in self.labels.items()]
        return ",".join(parts) or "CPU=0"

    def shared_by(self, gpus: int, workers: int | None) -> Request:
        """Fills in a share of the cluster's GPUs unless the user has specified one."""
        if self.gpus is not None:
            return self
        share = 0.0 if not gpus else 1 / math.ceil((workers or gpus) / gpus)
        return msgspec.structs.replace(self, gpus=share)

    def seats(self, resources: Mapping[str, float], labels: Mapping[str, str]) -> int:
        """The number of such trials that an otherwise idle node with these resources and labels has room for."""
        if not all(_fits(labels.get(key), wanted) for key, wanted in self.labels.items()):
            return 0
        amounts = {"CPU": self.cpus, "GPU": self.gpus or 0, "memory": self.memory, **self.others}
        # Ray counts in ten-thousandths, so the quotient of floats is rounded.
        rooms = [
            math.floor(round(resources.get(name, 0) / amount, 6)) for name, amount in amounts.items() if amount > 0
        ]
        return min(rooms, default=1)

    def options(self) -> dict[str, Any]:
        """The request as options of a Ray actor."""
        found: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus or 0, "resources": dict(self.others)}
        return {**found, "memory": self.memory} if self.memory else found


def parse(text: str | None) -> Request:
    """Parses `--ray-resources`; one CPU unless it names another number.

    Raises:
        UsageError: the text is no valid request.
    """
    found: dict[str, Any] = {"others": {}, "labels": {}}
    given: set[str] = set()
    for part in [] if text is None else text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name in given:
            raise UsageError(f"{_FLAG} is {text!r}: {name} is there twice", "say it once")
        given.add(name)
        if name.startswith("label:"):
            key = name.removeprefix("label:")
            if not equals or not key or not value.removeprefix("!"):
                raise UsageError(f"{_FLAG}: {part!r} is no label", _REMEDY)
            found["labels"][key] = value
        elif name == "memory":
            found["memory"] = _bytes(part, value)
        elif name in ("CPU", "GPU"):
            found[f"{name.lower()}s"] = _amount(part, value)
        elif name:
            found["others"][name] = _amount(part, value)
        else:
            raise UsageError(f"{_FLAG} is {text!r}", _REMEDY)
    return Request(**found)


def _amount(part: str, value: str) -> float:
    try:
        amount = float(value)
    except ValueError:
        amount = math.nan
    # Ray accepts fractions below 1 only: one and a half GPUs cannot be assigned.
    if not 0 <= amount < math.inf or (amount > 1 and amount != int(amount)):
        raise UsageError(f"{_FLAG}: {part!r} is no amount", f"a whole number or a part of one; {_REMEDY}")
    return amount


def _bytes(part: str, value: str) -> int:
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?", value.lower())
    if match is None:
        raise UsageError(f"{_FLAG}: {part!r} is no size", _REMEDY)
    return math.ceil(float(match[1]) * _UNITS[match[2]])


def _fits(label: str | None, wanted: str) -> bool:
    return label != wanted[1:] if wanted.startswith("!") else label == wanted
