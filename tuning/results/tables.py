"""The leaderboard as aligned text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.results.leaderboard import cell


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns padded to their widest cell, two blanks between; `right` says which are flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for cells in (header, *rows):
        padded = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(cells, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def leaderboard_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The leaderboard's rows as a person reads them: three decimals, the interval beside its figure.

    The column `data` appears where runs were tested on different data, since their figures are not comparable.
    """
    mixed = len({entry["data_digest"] for entry in rows}) > 1
    columns = {
        "#": True,
        "run": False,
        "kind": False,
        "space": False,
        "strategy": False,
        "seed": True,
        "epochs": True,
        "parameters": True,
        "val F1": True,
        "test F1": True,
        "95 % interval": False,
        "accuracy": True,
        "loss": True,
        **({"data": False} if mixed else {}),
    }
    table = [
        [
            str(place),
            cell(entry["run_id"]),
            cell(entry["kind"]),
            cell(entry["space"]),
            cell(entry["strategy"]) or "–",
            str(entry["seed"]),
            f"{entry['best_epoch']}/{entry['epochs']}",
            f"{entry['parameters']:,}",
            f"{entry['val_f1_macro']:.3f}",
            f"{entry['test_f1_macro']:.3f}",
            f"{entry['test_f1_macro_low']:.3f}–{entry['test_f1_macro_high']:.3f}",
            f"{entry['test_accuracy']:.3f}",
            f"{entry['test_loss']:.3f}",
            *([entry["data_digest"]] if mixed else []),
        ]
        for place, entry in enumerate(rows, start=1)
    ]
    return aligned(list(columns), table, list(columns.values()))
