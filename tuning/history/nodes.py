"""The nodes of a cluster that a search ran on, from its journal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tuning.engine.entries import Entry, Node, Result


def node_lines(records: Sequence[Entry]) -> tuple[str, ...]:
    """A line for each node: the number of jobs it finished, its hardware, and how often it was lost and came back."""
    events: dict[str, list[Node]] = {}
    for record in records:
        if isinstance(record, Node):
            events.setdefault(record.node, []).append(record)
    jobs = Counter(record.node for record in records if isinstance(record, Result) and record.node)
    return tuple(f"{name}: {_line(happened, jobs[name])}" for name, happened in sorted(events.items()))


def _line(happened: Sequence[Node], jobs: int) -> str:
    used = [event for event in happened if event.what in ("used", "returned")]
    if not used:
        return f"left out: {happened[-1].reason}"
    parts = [f"{jobs} job{'s' * (jobs != 1)}"]
    for computes in dict.fromkeys(", ".join(event.computes.values()) for event in used):
        parts.append(computes)
    lost = sum(event.what == "lost" for event in happened)
    if lost:
        back = sum(event.what == "returned" for event in happened)
        parts.append(f"lost {_times(lost)}" + (f", back {_times(back)}" if back else ""))
    return "; ".join(filter(None, parts))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
