"""Load and throughput of one trial and of several workers on one GPU, with the backend that KERAS_BACKEND names."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from statistics import mean

from benchmarks.context import Context
from benchmarks.processes import MIB, Child, closing_all
from benchmarks.report import Report
from tuning.core import machine
from tuning.trials.runtime import environment

SPACE = "benchmarks.spaces:usual_cnn"
COLUMNS = ("what", "images/s", "÷ one worker", "GPU busy", "its memory, MiB", "seconds to the first epoch's end")
COUNTS = (1, 2, 4, 8, 16)
#: Seconds between two queries of the GPU.
LOOK = 0.25


def measure(context: Context) -> Report:
    if not machine.gpus():
        return Report(COLUMNS, [], notes=("There is no GPU here.",))
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    folder, epochs = context.folder("gpu"), 30 if context.full else 10
    sample = context.sample(12_000, "96/2/2")
    root, one_gpu = sample.workspace.root, {"CUDA_VISIBLE_DEVICES": "0"}
    counts = [count for count in COUNTS if count <= machine.usable_cores()]
    rows = []
    context.say("plain Keras")
    plain = Child(
        ["-m", "benchmarks.children.plain_fit", root], folder / "plain.log", {**one_gpu, "KERAS_BACKEND": backend}
    )
    with plain:
        rows.append(["plain Keras fit, float32", *_row([plain], epochs // 2)])
    more = {**environment(backend, 1), **one_gpu}
    children: list[Child] = []
    alone = None
    with closing_all(children):
        for count in counts:
            context.say(f"{count} worker(s)")
            new = [
                Child(["-m", "benchmarks.children.our_trial", root, SPACE, f"gpu-{slot}", "auto"],
                      folder / f"ours-{slot}.log", more)
                for slot in range(len(children), count)
            ]  # fmt: skip
            children += new
            rate, *others = _row(children, epochs, new)
            alone = alone or rate
            rows.append([f"{count} worker(s), {backend}", rate, *others])
    return Report(
        COLUMNS,
        [[what, rate, rate / alone, *others] for what, rate, *others in rows],
        notes=(
            f"{machine.gpus()[0].name}; {epochs} epochs each, all workers at once; busy: the share of the time in "
            "which the GPU computed anything at all, as nvidia-smi tells.",
        ),
        data=sample.to_json(),
    )


def _row(children: list[Child], epochs: int, new: list[Child] | None = None) -> list[float]:
    """Train `epochs` epochs in all `children` at once, after a first epoch in `new` (None: in all).

    Returns:
        Images per second of all children together, the GPU's mean load (0…1), its peak memory in MiB, and the seconds
        that the first epoch took.
    """
    began = time.monotonic()
    fresh = children if new is None else new
    for child in fresh:
        child.go()
    for child in fresh:
        child.answer()
    first = time.monotonic() - began
    with _Watch() as watch:
        began = time.monotonic()
        for child in children:
            for _ in range(epochs):
                child.go()
        answers = [[child.answer() for _ in range(epochs)] for child in children]
        seconds = time.monotonic() - began
    images = sum(answer["images"] for same in answers for answer in same)
    return [images / seconds, watch.busy, watch.memory / MIB, first]


class _Watch:
    """Monitors the first GPU within a `with` block: mean load `busy` (0…1) and peak `memory` (bytes in use)."""

    def __enter__(self) -> _Watch:
        self._looks: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.busy = mean(busy for busy, _ in self._looks)
        self.memory = max(memory for _, memory in self._looks)

    def _look(self) -> None:
        command = "nvidia-smi --id=0 --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits"
        while not self._looks or not self._over.wait(LOOK):
            busy, memory = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout.split(",")
            self._looks.append((int(busy) / 100, int(memory) * MIB))
