"""The nodes of a Ray cluster: each is checked before a job may run on it, and monitored from then on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import msgspec

from tuning.core.errors import listed
from tuning.engine.executors import NodeChanged
from tuning.engine.executors.ray_messages import Check
from tuning.engine.executors.seats import NODE_LABEL, Request

#: A node is left out, for now, if its check takes longer than this.
CHECK_SECONDS = 60.0
#: How often Ray is asked for its nodes.
LIST_SECONDS = 3.0
#: Maximum number of nodes that are named in a message.
_SHOWN = 8


@dataclass(eq=False)
class Node:
    """A node with room for a trial.

    Attributes:
        seats: number of trials that it has room for.
        pending: Ray's reference to the check's result, while that is outstanding.
        state: "asked" (being checked), "silent" (its check is overdue), "used", "left out" or "lost".
        problem, remedy: why it is left out.
        since: time at which the check began.
    """

    node_id: str
    name: str
    seats: int
    pending: Any = None
    state: str = "asked"
    problem: str = ""
    remedy: str = ""
    since: float = 0.0


class Nodes:
    """All nodes by Ray's id; a node that comes back has a new id.

    Args:
        ray: the module, connected.
        request: the resources that a trial requests.
        check: the check of a node; None: every node is used.
    """

    def __init__(self, ray: Any, request: Request, check: Check | None) -> None:
        self._ray, self._request, self._check = ray, request, check
        self._all: dict[str, Node] = {}
        self._lost: set[str] = set()
        self._listed: list[dict[str, Any]] = []
        self._free: dict[str, float] = {}
        self.heard = time.monotonic()

    def watch(self) -> None:
        """Starts to ask Ray for its nodes in a thread: while its control service is away, the answer takes a minute."""
        self._list()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(LIST_SECONDS)
            # Any error: if this thread ended, it would look as if the control service had gone.
            with contextlib.suppress(Exception):
                self._list()

    def _list(self) -> None:
        self._listed, self._free = self._ray.nodes(), self._ray.available_resources()
        self.heard = time.monotonic()

    def pending(self) -> list[Any]:
        """Ray's references to outstanding results."""
        return [node.pending for node in self._all.values() if node.pending is not None]

    def used(self) -> list[Node]:
        return [node for node in self._all.values() if node.state == "used"]

    def waiting(self) -> bool:
        """Whether a check is running that is not overdue."""
        return any(node.state == "asked" for node in self._all.values())

    def crowded(self) -> bool:
        """Whether even the free resources of the whole cluster together are too few for one trial."""
        return not msgspec.structs.replace(self._request, labels={}).seats(self._free, {})

    def refused(self) -> list[Node]:
        """The nodes that are alive but cannot be used."""
        return [node for node in self._all.values() if node.state in ("left out", "silent")]

    def state(self, node_id: str) -> str:
        """The state of a node; "asked" if it is unknown."""
        node = self._all.get(node_id)
        return node.state if node else "asked"

    def name(self, node_id: str) -> str:
        node = self._all.get(node_id)
        return node.name if node else node_id[:8]

    def selector(self) -> dict[str, str]:
        """Label selector of actors: the requested labels, and none of the nodes that cannot be used."""
        refused = [node.node_id for node in self.refused()]
        return {**({NODE_LABEL: f"!in({','.join(refused)})"} if refused else {}), **self._request.labels}

    def text(self, workers: int) -> str:
        """A line for the user: on which nodes `workers` trials at a time will run."""
        used = self.used()
        shown = listed([f"{node.name} ({node.seats})" for node in used], _SHOWN)
        room = sum(node.seats for node in used)
        count = f"{workers} trial{'s' * (workers != 1)} at a time"
        if workers > room:
            count += f", of which {room} can run now,"
        return f"Ray cluster: {count} on {len(used)} node{'s' * (len(used) != 1)}: {shown}"

    def changes(self) -> list[NodeChanged]:
        """The changes since the last call."""
        found = []
        alive = {info["NodeID"]: info for info in self._listed if info["Alive"]}
        for info in alive.values():
            if info["NodeID"] not in self._all and (seats := self._request.seats(info["Resources"], info["Labels"])):
                found += self._added(info, seats)
        gone = {info["NodeID"]: info for info in self._listed if not info["Alive"]}
        for node in self._all.values():
            if node.state != "lost" and node.node_id in gone:
                was, node.state, node.pending = node.state, "lost", None
                if was == "used":
                    self._lost.add(node.name)
                    reason = " ".join(gone[node.node_id].get("DeathReasonMessage", "").split())[:200]
                    found.append(NodeChanged(node.name, "lost", reason=reason))
        pending = self.pending()
        ready = self._ray.wait(pending, num_returns=len(pending), timeout=0)[0] if pending else []
        for node in self._all.values():
            if node.pending is not None and node.pending in ready:
                found += self._checked(node)
            elif node.state == "asked" and node.pending is not None and time.monotonic() - node.since > CHECK_SECONDS:
                node.state = "silent"
                node.problem = f"it has not answered within {CHECK_SECONDS:g} s"
                node.remedy = "see `ray status` and that machine's load; it is used once it answers"
                found.append(NodeChanged(node.name, "left out", reason=node.problem))
        return found

    def _added(self, info: dict[str, Any], seats: int) -> list[NodeChanged]:
        node = Node(info["NodeID"], self._free_name(info), seats, since=time.monotonic())
        self._all[node.node_id] = node
        if self._check is None:
            return [self._accepted(node, {})]
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        probe = self._ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(_probe())
        node.pending = probe.remote(self._check.module, self._check.request, bool(self._request.gpus))
        return []

    def _free_name(self, info: dict[str, Any]) -> str:
        """A readable unique name: that of `ray start --node-name`, else the host's name."""
        named = info.get("NodeName") or ""
        name = info["NodeManagerHostname"] if named in ("", info["NodeManagerAddress"]) else named
        taken = {node.name for node in self._all.values() if node.state != "lost"}
        return name if name not in taken else f"{name}#{info['NodeID'][:6]}"

    def _checked(self, node: Node) -> list[NodeChanged]:
        pending, node.pending = node.pending, None
        if self._check is None:
            return []
        try:
            facts = self._ray.get(pending)
        except self._ray.exceptions.RayError as error:
            problem = f"its check failed: {last_line(error)}"
            return [self._left_out(node, problem, "see Ray's logs there, then restart Ray on that machine")]
        if missing := facts.get("missing"):
            return [
                self._left_out(
                    node,
                    f"its Python has no {missing}",
                    "install this package and what it needs there, in the Python that `ray start` was run with",
                )
            ]
        refusal = import_module(self._check.module).refusal(facts, self._check.request)
        return [self._left_out(node, *refusal) if refusal else self._accepted(node, facts["computes"])]

    def _accepted(self, node: Node, computes: dict[str, str]) -> NodeChanged:
        node.state = "used"
        what = NodeChanged(node.name, "returned" if node.name in self._lost else "used", computes)
        self._lost.discard(node.name)
        return what

    def _left_out(self, node: Node, problem: str, remedy: str) -> NodeChanged:
        node.state, node.problem, node.remedy = "left out", problem, remedy
        return NodeChanged(node.name, "left out", reason=f"{problem} → {remedy}")


def last_line(error: Exception) -> str:
    """The last line of a Ray error, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _probe() -> Callable[[str, dict[str, Any], bool], dict[str, Any]]:
    """The check as a nested function: Ray serialises its code, so that it runs where this package is missing."""

    def probe(module: str, request: dict[str, Any], gpus: bool) -> dict[str, Any]:
        import importlib
        import os

        # A task without a GPU sees none or all, depending on Ray's version; trials see those they request.
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif not os.environ.get("CUDA_VISIBLE_DEVICES"):
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        try:
            inspect = importlib.import_module(module).inspect
        except ImportError as error:
            return {"missing": error.name or str(error)}
        found: dict[str, Any] = inspect(request)
        return found

    return probe
