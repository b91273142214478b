"""Writes predictions as text while they arrive: as a table for people, CSV, JSON Lines, or one JSON object."""

from __future__ import annotations

import csv
import json
import os
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

from tuning.core.output import display_width, one_line
from tuning.results.leaderboard import cell
from tuning.results.prediction.classifier import Classifier
from tuning.results.prediction.labelling import Prediction

#: Separates a path from its labels, and labels from each other.
_GAP = "  "
#: Indentation of labels below a path that leaves no room for them; least width for the reason of an unreadable image.
_INDENT, _REASON = 4, 30


class Writer:
    """Writes predictions to a text stream."""

    def begin(self, classifier: Classifier) -> None:
        """Is called once, before the first predictions."""

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Writes some predictions; may be called any number of times."""

    def end(self, summary: dict[str, Any]) -> None:
        """Is called once, after the last predictions or an interruption, and completes the text."""


class TableWriter(Writer):
    """Writes one line per image: its path, then its labels with probabilities, aligned by the paths known so far.

    In a terminal that is `room` characters wide, labels go below a path that leaves no room for them, so that nothing
    is cut and the terminal wraps no line.
    """

    def __init__(self, stream: TextIO, paths: Sequence[str] = (), room: int | None = None) -> None:
        self._stream, self._room = stream, room
        self._known = {display_width(shown(path)) for path in paths}

    def write(self, predictions: Sequence[Prediction]) -> None:
        paths = [shown(entry.path) for entry in predictions]
        self._known.update(map(display_width, paths))
        column = self._column(max(map(_least, predictions)))
        for path, entry in zip(paths, predictions, strict=True):
            lines = _lines(entry, None if self._room is None else self._room - column)
            blanks = column - display_width(path)
            if blanks >= len(_GAP):
                path += " " * blanks + lines.pop(0)
            self._stream.writelines(f"{line}\n" for line in [path, *(" " * column + line for line in lines)])

    def _column(self, least: int) -> int:
        """Returns the column of the labels: right of the longest path that leaves `least` characters for them."""
        ends = [width + len(_GAP) for width in self._known]
        return max((end for end in ends if self._room is None or end <= self._room - least), default=_INDENT)


def _least(entry: Prediction) -> int:
    """Returns the width that an image's labels, or the reason why it has none, need on a line."""
    return display_width(_GAP.join(_labels(entry))) if entry.labels else _REASON


def _labels(entry: Prediction) -> list[str]:
    return [f"{label} {probability:.3f}" for label, probability in entry.labels]


def _lines(entry: Prediction, room: int | None) -> list[str]:
    """Returns the labels of an image, or the reason why it has none, in lines of at most `room` characters."""
    if not entry.labels:
        reason = f"unreadable: {shown(entry.error or '')}"
        return [reason] if room is None else textwrap.wrap(reason, max(room, _REASON), break_on_hyphens=False)
    first, *others = _labels(entry)
    lines = [first]
    for label in others:
        longer = f"{lines[-1]}{_GAP}{label}"
        if room is None or display_width(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(label)
    return lines


class CsvWriter(Writer):
    """Writes `path,rank,label,probability,error`: one row per label, or one row with the error."""

    def __init__(self, stream: TextIO) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")

    def begin(self, classifier: Classifier) -> None:
        self._rows.writerow(["path", "rank", "label", "probability", "error"])

    def write(self, predictions: Sequence[Prediction]) -> None:
        for entry in predictions:
            path = cell(_text(entry.path))
            for rank, (label, probability) in enumerate(entry.labels, 1):
                self._rows.writerow([path, rank, cell(label), cell(probability), ""])
            if entry.error:
                self._rows.writerow([path, "", "", "", cell(entry.error)])


class JsonLinesWriter(Writer):
    """Writes one JSON object per image, each on a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, predictions: Sequence[Prediction]) -> None:
        self._stream.writelines(f"{_json(_record(entry))}\n" for entry in predictions)


class JsonWriter(Writer):
    """Writes one JSON object on one line: `model`, `run_id`, `predictions`, and the fields of the summary."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._separator = stream, ""

    def begin(self, classifier: Classifier) -> None:
        head = _json({"model": str(classifier.path), "run_id": classifier.run_id})
        self._stream.write(f'{head[:-1]}, "predictions": [')

    def write(self, predictions: Sequence[Prediction]) -> None:
        for entry in predictions:
            self._stream.write(f"{self._separator}{_json(_record(entry))}")
            self._separator = ", "

    def end(self, summary: dict[str, Any]) -> None:
        self._stream.write(f"], {_json(summary)[1:]}\n")


def shown(text: str) -> str:
    """Returns a path or reason as one line of text that is safe to print in a terminal."""
    return one_line(_text(text))


def _record(entry: Prediction) -> dict[str, Any]:
    return {
        "path": _text(entry.path),
        "label": entry.labels[0][0] if entry.labels else None,
        "labels": [{"label": label, "probability": probability} for label, probability in entry.labels],
        "error": entry.error,
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _text(path: str) -> str:
    """Returns a path as valid text; bytes that are not UTF-8 are written as backslash escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
