"""Selects the points of a learning curve that a tracker draws, and computes their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def timed_points(
    curve: Sequence[Mapping[str, Any]], seconds: Sequence[float], end: float
) -> list[tuple[int, float, Mapping[str, Any]]]:
    """(epoch, time, entry) of each point to draw, given that the last entry was made at `end`.

    Trackers count in whole epochs. If the first epoch was trained in slices, only its end is drawn; for a trial that
    did not finish it, the last slice is drawn at epoch 0.
    """
    entries = list(zip(curve, entry_times(len(curve), seconds, end), strict=True))
    whole = [(int(entry["epoch"]), at, entry) for entry, at in entries if entry["epoch"] == int(entry["epoch"])]
    return whole or [(0, at, entry) for entry, at in entries[-1:]]


def entry_times(entries: int, seconds: Sequence[float], end: float) -> list[float]:
    """The time of each entry of a curve, given that the last was made at `end`.

    Entries without seconds, those inherited from another trial, get the start time.
    """
    times, at = [], end
    for index in range(entries):
        times.append(at)
        back = len(seconds) - 1 - index
        at -= seconds[back] if back >= 0 else 0.0
    return times[::-1]
