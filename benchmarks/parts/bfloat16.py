"""What bfloat16 costs in quality: the same search with both types, three seeds each. Not part of a small run."""

from __future__ import annotations

from statistics import mean

from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import our_search

SEEDS = (0, 1, 2)


def measure(context: Context) -> Report:
    sample = context.sample(12_000 if context.full else 2_800)
    max_epochs = 9 if context.full else 3
    best: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for seed in SEEDS:
        for dtype in best:
            context.say(f"seed {seed}, {dtype}")
            options = ("--strategy", "hyperband", "--max-epochs", max_epochs, "--seed", seed, "--dtype", dtype)
            search = our_search(sample, f"{dtype}-{seed}", *options)
            best[dtype].append(search.best)
            seconds[dtype].append(search.measured.seconds)
    differences = [new - old for new, old in zip(best["bfloat16"], best["float32"], strict=True)]
    rows = [
        [f"seed {seed}", *figures]
        for seed, *figures in zip(SEEDS, *best.values(), differences, *seconds.values(), strict=True)
    ]
    rows.append(
        ["mean", *(mean(best[dtype]) for dtype in best), mean(differences), *(mean(seconds[d]) for d in seconds)]
    )
    return Report(
        ("what", "F1, float32", "F1, bfloat16", "difference", "seconds, float32", "seconds, bfloat16"),
        rows,
        targets=(Target("val F1 under bfloat16 − under float32", mean(differences), -0.01),),
        notes=(f"Best macro-F1 on validation; Hyperband with {max_epochs} epochs over the space that comes with it.",),
        data=sample.to_json(),
        details={"best": best, "differences": differences},
    )
