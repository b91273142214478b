"""Peak memory of each worker and of a whole search."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.parts.overhead import searched
from benchmarks.processes import MIB
from benchmarks.report import Report


def measure(context: Context) -> Report:
    search, sample, _ = searched(context)
    found = sorted(search.measured.workers.values(), key=lambda worker: -worker["pss"])
    rows = [
        [f"worker {number}", round(worker["pss"] / MIB), round(worker["rss"] / MIB)]
        for number, worker in enumerate(found, 1)
    ]
    rows.append(["the whole search, its parent included", round(search.measured.peak_pss / MIB), None])
    return Report(
        ("what", "peak MiB", "with all it shares"),
        rows,
        notes=(
            f"{len(search.trials)} trials in all. What processes share, such as libraries and the packed images, is "
            "counted in parts in the first column and in full in the second.",
        ),
        data=sample.to_json(),
        details={"workers": found, "search": search.measured.peak_pss},
    )
