"""How long a user waits for `--help`, and from the start of a search to its first training step."""

from __future__ import annotations

import statistics
import time

from benchmarks.context import Context
from benchmarks.processes import run
from benchmarks.report import Report, Target
from tuning.__main__ import commands

SPACE = "benchmarks.spaces:stamped_cnn"


def measure(context: Context) -> Report:
    folder = context.folder("start")
    sample = context.sample(None if context.full else 1500)
    repeats = 9 if context.full else 3
    rows = []
    for command in commands():
        runs = [run(["-m", f"tuning.{command}", "--help"], folder / "help.log", memory=None) for _ in range(repeats)]
        seconds = [one.seconds for one in runs]
        cpu = statistics.median(one.cpu_seconds for one in runs)
        rows.append([f"{command} --help", statistics.median(seconds), cpu, repeats])
    slowest = max(row[1] for row in rows)

    starts, processor = [], []
    for number in range(3 if context.full else 1):
        stamp = folder / f"stamp-{number}"
        began = time.monotonic()
        options = ("--space", SPACE, "--strategy", "hyperband", "--max-epochs", 1, "--name", f"start-{number}")
        search = run(
            ["-m", "tuning.search", "--root", sample.workspace.root, "--search-only", "--quiet", *options],
            folder / "search.log",
            more={"STAMP": str(stamp)},
            memory=None,
        )
        starts.append(float(stamp.read_text()) - began)
        processor.append(search.cpu_seconds)
    first = "start of a search to its first training step"
    rows.append([first, statistics.median(starts), statistics.median(processor), len(starts)])
    return Report(
        ("what", "seconds", "CPU seconds", "times"),
        rows,
        targets=(
            Target("--help of the slowest command, seconds", slowest, 0.2, at_least=False),
            Target("start to first training step, seconds", statistics.median(starts), 15, at_least=False),
        ),
        notes=(
            "Medians. The first step is the first call of the loss within it, on the images below; its CPU "
            "seconds are those of the whole search, of one epoch.",
        ),
        data=sample.to_json(),
    )
