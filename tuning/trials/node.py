"""Checks whether trials of this search can run on another node of a cluster."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tuning.core import machine, packages
from tuning.core.computing import computes
from tuning.core.errors import TuningError
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import open_dataset
from tuning.trials.spaces import space_digest

#: How long a file that was just written may take to become visible on another machine.
VISIBLE_SECONDS = 15.0
#: Smallest free memory for a process that trains, in bytes.
LEAST_MEMORY = 2**30
_SHARE = "share the workspace with every node, at the same path (a mount, not a copy)"
_SAME = "install the same versions on every node: the same search must give the same answer anywhere"


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requirements that a node is checked against.

    Attributes:
        root: absolute path of the workspace.
        folder: absolute path of the search's folder, which both sides write into.
        mark: path of a file in it whose text is `token`.
        space, backend, dtype_policy: settings of the search.
        environment: environment variables of its workers.
        versions, space_digest, data_digest: values that the node must have, too.
    """

    root: str
    folder: str
    mark: str
    token: str
    space: str
    backend: str
    dtype_policy: str
    environment: dict[str, str]
    versions: dict[str, str]
    space_digest: str
    data_digest: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node reports about itself.

    Attributes:
        shared: whether it sees the mark.
        written: name of a file that it has written beside the mark; empty if it cannot write.
        unwritable, unreadable: why it cannot write, or read the data; empty if it can.
        data_digest: digest of the data there.
        versions: as `versions` returns them there.
        space_digest: digest of the builder's code there; empty if there is no such module.
        memory: free bytes; None: unknown.
        computes: see `tuning.core.computing`.
    """

    shared: bool
    written: str = ""
    unwritable: str = ""
    unreadable: str = ""
    data_digest: str = ""
    versions: dict[str, str] = {}
    space_digest: str = ""
    memory: int | None = None
    computes: dict[str, str] = {}


def versions(backend: str) -> dict[str, str]:
    """Returns the versions that must be equal on all nodes for bit-identical trials, Python's full version included."""
    found = {**packages.versions(backend), "python": platform.python_version()}
    for name in ("numpy", "keras-tuner", "opencv-python-headless"):
        if version := packages.version(name):
            found[name] = version
    return found


def inspect(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the `Facts` of the node that this runs on, as JSON."""
    asked = msgspec.convert(request, Request)
    common: dict[str, Any] = {
        "versions": versions(asked.backend),
        "memory": machine.memory().available,
        "computes": computes(asked.dtype_policy, asked.environment),
    }
    if not _sees(Path(asked.mark), asked.token):
        return msgspec.to_builtins(Facts(shared=False, **common))
    name, unwritable, unreadable, data, space = f"node-{secrets.token_hex(8)}", "", "", "", ""
    try:
        (Path(asked.folder) / name).write_text(asked.token)
    except OSError as error:
        unwritable = f"{error.filename or asked.folder}: {error.strerror}"
    try:
        found = open_dataset(Workspace(Path(asked.root)))
        data = found.info.digest
        for split in (found.train, found.val):
            # Reads a page at either end, so that unreadable data fail here.
            int(split.images[0].sum()) + int(split.images[-1].sum())
    except TuningError as error:
        unreadable = error.problem
    except OSError as error:
        unreadable = f"{error.filename or asked.root}: {error.strerror}"
    try:
        space = space_digest(asked.space)
    except TuningError:
        space = ""
    facts = Facts(
        shared=True,
        written="" if unwritable else name,
        unwritable=unwritable,
        unreadable=unreadable,
        data_digest=data,
        space_digest=space,
        **common,
    )
    return msgspec.to_builtins(facts)


def refusal(facts: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns (problem, remedy) if a node cannot run trials of this search, else None."""
    asked = msgspec.convert(request, Request)
    try:
        node = msgspec.convert(facts, Facts)
    except msgspec.ValidationError:
        return "it has another version of this package, which answers otherwise", _SAME
    try:
        return _refusal(node, asked)
    finally:
        if node.written:
            (Path(asked.folder) / node.written).unlink(missing_ok=True)


def _refusal(node: Facts, asked: Request) -> tuple[str, str] | None:
    for name in sorted({*asked.versions, *node.versions}):
        here, there = asked.versions.get(name), node.versions.get(name)
        if here != there:
            return f"it has {_version(name, there)}, this machine has {_version(name, here)}", _SAME
    if not node.shared:
        return f"it does not see {asked.folder}", _SHARE
    if node.unwritable:
        return f"it cannot write: {node.unwritable}", f"let the user that Ray runs as write there; {_SHARE}"
    if not _sees(Path(asked.folder) / node.written, asked.token):
        return f"what it writes into {asked.folder} is not seen here", _SHARE
    if node.unreadable:
        return f"it cannot read the data: {node.unreadable}", f"{_SHARE}; a link out of it leads nowhere there"
    if node.data_digest != asked.data_digest:
        return "its data are not this workspace's", _SHARE
    if node.space_digest != asked.space_digest:
        found = "other code" if node.space_digest else "no module"
        return (
            f"it has {found} of the search space {asked.space!r}",
            "give the command in a folder that holds the module and that every node sees at the same path, or put it "
            "on PYTHONPATH before `ray start`",
        )
    if node.memory is not None and node.memory < LEAST_MEMORY:
        return (
            f"it has {node.memory / 2**20:,.0f} MB of free memory; a trial takes 1 GB at the very least",
            "end what else runs there, then restart Ray on it",
        )
    return None


def _version(name: str, version: str | None) -> str:
    return f"no {name}" if version is None else f"{name} {version}"


def _sees(path: Path, text: str) -> bool:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            # Listing the folder makes a network file system drop a cached "no such file".
            os.listdir(path.parent)
            if path.read_text(encoding="utf-8") == text:
                return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
