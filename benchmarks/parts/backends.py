"""Training throughput on each installed Keras backend, against plain Keras on the same backend."""

from __future__ import annotations

from statistics import median

from benchmarks.context import Context
from benchmarks.parts.step import in_turn
from benchmarks.report import Report
from tuning.core import packages
from tuning.pipeline.settings import BACKENDS


def measure(context: Context) -> Report:
    folder, pairs = context.folder("backends"), 7 if context.full else 3
    sample = context.sample(12_000 if context.full else 2_800, "96/2/2")
    rows, details = [], {}
    for backend in filter(packages.version, BACKENDS):
        rates, _, dtype = in_turn(context, folder, sample.workspace.root, backend, pairs)
        ratios = [ours / plain for ours, plain in zip(rates["ours"], rates["plain"], strict=True)]
        rows.append([backend, dtype, median(rates["ours"]), median(rates["plain"]), median(ratios)])
        details[backend] = rates
    return Report(
        ("backend", "our type", "ours, images/s", "plain Keras fit, float32", "ours ÷ plain"),
        rows,
        notes=(f"Medians of {pairs} pairs in turn, all cores each.",),
        data=sample.to_json(),
        details=details,
    )
