"""The machines of a cluster: the requirements of a search, and messages about them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tuning.core import files
from tuning.core.progress import Progress
from tuning.core.settings import RunSettings
from tuning.core.workspace import Workspace
from tuning.engine.executors import NodeChanged
from tuning.engine.executors.ray_messages import Check
from tuning.engine.state import SearchState
from tuning.trials import node


@contextlib.contextmanager
def node_check(
    workspace: Workspace, folder: Path, settings: RunSettings, environment: Mapping[str, str]
) -> Iterator[Check]:
    """Yields the check that nodes have to pass; within the block, `folder` holds a mark file that they have to see."""
    mark, token = folder.absolute() / f"mark-{secrets.token_hex(4)}", secrets.token_hex(16)
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        files.write_text(mark, token)
        request = node.Request(
            root=str(workspace.root.resolve()),
            folder=str(mark.parent),
            mark=str(mark),
            token=token,
            space=settings.space,
            backend=settings.backend,
            dtype_policy=settings.dtype_policy,
            environment=dict(environment),
            versions=node.versions(settings.backend),
            space_digest=settings.space_digest,
            data_digest=settings.data_digest,
        )
        yield Check(node.__name__, msgspec.to_builtins(request))
    finally:
        mark.unlink(missing_ok=True)


class NodeReporter:
    """Reports what happens to nodes, and which compute with other hardware or software than those before them.

    Args:
        state: of the search; it has the nodes of earlier sessions.
    """

    def __init__(self, state: SearchState, progress: Progress) -> None:
        self._state, self._progress = state, progress
        self._warned: set[str] = set()

    def changed(self, event: NodeChanged) -> None:
        """Reports a change; to be called before it is part of the state."""
        if event.what == "left out":
            self._progress.warn(f"node {event.node} is left out: {event.reason}")
        elif event.what == "lost":
            why = f": {event.reason}" if event.reason else ""
            self._progress.warn(f"node {event.node} is lost{why}; its trials resume elsewhere from their checkpoints")
        else:
            if event.what == "returned":
                self._progress.say(f"node {event.node} is back")
            self._compare(event)

    def _compare(self, event: NodeChanged) -> None:
        used = [one for one in self._state.nodes if one.what in ("used", "returned") and one.node != event.node]
        for other in used:
            both = {**other.computes, **event.computes}
            names = [name for name in both if event.computes.get(name) != other.computes.get(name)]
            if not names or event.node in self._warned:
                continue
            self._warned.add(event.node)
            lines = "; ".join(
                f"{name}: {event.computes.get(name, 'none')} there, {other.computes.get(name, 'none')} on {other.node}"
                for name in names
            )
            self._progress.warn(
                f"node {event.node} computes differently ({lines}): its last digits, and so the leaderboard, may "
                "differ; --ray-resources label:KEY=VALUE restricts the search to equal nodes"
            )
