"""One worker and as many as there are cores, on the same search."""

from __future__ import annotations

from statistics import median

from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import our_search
from tuning import machine

SPACE = "benchmarks.spaces:equal_cnns"


def measure(context: Context) -> Report:
    cores = machine.usable_cores()
    sample = context.sample(12_000 if context.full else 6_000)
    pairs, trials = (3, 4 * cores) if context.full else (1, 2 * cores)
    counts = sorted({1, min(2, cores), cores})
    stages: dict[int, list[float]] = {count: [] for count in counts}
    wholes: dict[int, list[float]] = {count: [] for count in counts}
    for pair in range(pairs):
        for count in counts:
            context.say(f"pair {pair + 1} of {pairs}: {count} worker(s)")
            options = ("--space", SPACE, "--strategy", "random", "--max-epochs", 2, "--max-trials", trials)
            search = our_search(sample, f"workers-{count}-{pair}", *options, "--workers", count)
            stages[count].append(search.stage)
            wholes[count].append(search.measured.seconds)

    def faster(seconds: dict[int, list[float]], count: int) -> float:
        return median(one / other for one, other in zip(seconds[1], seconds[count], strict=True))

    return Report(
        ("workers", "seconds, trials", "seconds, command", "faster, trials", "faster, command"),
        [
            [count, median(stages[count]), median(wholes[count]), faster(stages, count), faster(wholes, count)]
            for count in counts
        ],
        targets=(Target("two workers ÷ one", faster(stages, 2) if 2 in counts else None, 1.8),),
        notes=(f"{trials} trials of 2 epochs that take equally long; the trials' time is without the start.",),
        data=sample.to_json(),
        details={"trials_seconds": stages, "command_seconds": wholes},
    )
