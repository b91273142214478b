"""Selects the points of a curve that a tracker draws, and their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def timed_points(
    curve: Sequence[Mapping[str, Any]], seconds: Sequence[float], end: float
) -> list[tuple[int, float, Mapping[str, Any]]]:
    """(epoch, time, entry) of the points to draw, if the last entry was at `end`.

    Trackers count in whole epochs. Of a first epoch that was trained in slices only its end is drawn; a trial that did
    not get so far has its last slice, at epoch 0.
    """
    entries = list(zip(curve, entry_times(len(curve), seconds, end), strict=True))
    whole = [(int(entry["epoch"]), at, entry) for entry, at in entries if entry["epoch"] == int(entry["epoch"])]
    return whole or [(0, at, entry) for entry, at in entries[-1:]]


def entry_times(entries: int, seconds: Sequence[float], end: float) -> list[float]:
    """When each entry of a curve was made, if the last was made at `end`; another trial's were there at the start."""
    times, at = [], end
    for index in range(entries):
        times.append(at)
        back = len(seconds) - 1 - index
        at -= seconds[back] if back >= 0 else 0.0
    return times[::-1]
