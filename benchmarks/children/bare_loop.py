"""The least that anybody could do with a folder of images: read and shrink each, on all cores; a round each time.

python -m benchmarks.children.bare_loop FOLDER SIZE threads|processes
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2

from benchmarks.processes import rounds, say
from tuning import machine

CHUNK = 64


def shrink(paths: list[str], size: int) -> int:
    return sum(
        cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (size, size), interpolation=cv2.INTER_AREA).nbytes > 0
        for path in paths
    )


def main(folder: str, size: str, kind: str) -> None:
    cores = machine.usable_cores()
    with (ThreadPoolExecutor if kind == "threads" else ProcessPoolExecutor)(cores, initializer=_one_thread) as pool:
        list(pool.map(abs, range(4 * cores)))
        for _ in rounds():
            began = time.monotonic()
            paths = [str(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
            done = sum(pool.map(shrink, chunks, [int(size)] * len(chunks)))
            say({"seconds": time.monotonic() - began, "images": done})


def _one_thread() -> None:
    cv2.setNumThreads(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
