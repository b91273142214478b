"""The same search with one worker, with two, and with one per core."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.context import Context
from benchmarks.processes import Child, closing_all, together
from benchmarks.report import Report, Target
from benchmarks.searches import our_search
from tuning.core import machine
from tuning.trials.runtime import environment

SPACE = "benchmarks.spaces:equal_cnns"
#: Minimal kernels that stand for the parts of a training step.
KERNELS = {"gemm": "matrix products", "copying": "copies of 9 MiB"}


def measure(context: Context) -> Report:
    cores = machine.usable_cores()
    sample = context.sample(12_000 if context.full else 6_000)
    folder = context.folder("workers")
    pairs, trials = (3, 4 * cores) if context.full else (1, 2 * cores)
    counts = sorted({1, min(2, cores), cores})
    stages: dict[int, list[float]] = {count: [] for count in counts}
    wholes: dict[int, list[float]] = {count: [] for count in counts}
    alone: dict[str, list[dict[str, float]]] = {kernel: [] for kernel in KERNELS}
    for pair in range(pairs):
        for kernel in KERNELS:
            alone[kernel].append(_alone(folder, kernel, cores))
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
        notes=(
            f"{trials} trials of 2 epochs that take equally long; the trials' time is without the start.",
            f"The machine itself, {cores} processes of one thread ÷ one: "
            + "; ".join(f"{KERNELS[kernel]}, {_ratios(found)}" for kernel, found in alone.items())
            + ".",
        ),
        data=sample.to_json(),
        details={"trials_seconds": stages, "command_seconds": wholes, "machine": alone},
    )


def _alone(folder: Path, kernel: str, cores: int) -> dict[str, float]:
    """Return, by dtype, how many times faster than one process all cores run a kernel that shares no data."""
    command, more = ["-m", f"benchmarks.children.{kernel}"], environment("tensorflow", 1)
    children = [Child(command, folder / f"{kernel}-{core}.log", more) for core in range(cores)]
    with closing_all(children):
        together(children)
        one, all_of_them = children[0].round(), together(children)
    return {name: sum(answer[name] for answer in all_of_them) / rate for name, rate in one.items()}


def _ratios(found: list[dict[str, float]]) -> str:
    return ", ".join(f"{name} {median(one[name] for one in found):.2f}" for name in found[0])
