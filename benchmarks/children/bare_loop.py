"""The minimum work for a folder of images: read and shrink every image, using all cores. One pass per round.

python -m benchmarks.children.bare_loop FOLDER SIZE threads|processes gray|colour [TARGET]

Colour is the default of `cv2.imread`; decoding a JPEG to gray is half the work. With TARGET, an empty folder, each
round also writes what every workspace holds: a copy of each file under two names. Each round writes to a sub-folder of
its own, because ext4 creates files several times more slowly where many were just deleted.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from benchmarks.processes import rounds, say
from tuning.core import machine

CHUNK = 64


def shrink(paths: list[str], size: int, flag: int, target: str | None) -> int:
    done = 0
    for path in paths:
        small = cv2.resize(cv2.imread(path, flag), (size, size), interpolation=cv2.INTER_AREA)
        done += small.nbytes > 0
        if target is not None:
            name = f"{os.path.basename(os.path.dirname(path))}-{os.path.basename(path)}"
            shutil.copyfile(path, f"{target}/copies/{name}")
            os.link(f"{target}/copies/{name}", f"{target}/links/{name}")
    return done


def main(folder: str, size: str, kind: str, color: str, target: str | None = None) -> None:
    flag = {"gray": cv2.IMREAD_GRAYSCALE, "colour": cv2.IMREAD_COLOR}[color]
    cores = machine.usable_cores()
    with (ThreadPoolExecutor if kind == "threads" else ProcessPoolExecutor)(cores, initializer=_one_thread) as pool:
        list(pool.map(abs, range(4 * cores)))
        for number, _ in enumerate(rounds()):
            place = f"{target}/{number}" if target else None
            for part in ("copies", "links") if place else ():
                os.makedirs(f"{place}/{part}")
            began = time.monotonic()
            paths = [str(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
            done = sum(pool.map(partial(shrink, size=int(size), flag=flag, target=place), chunks))
            say({"seconds": time.monotonic() - began, "images": done})


def _one_thread() -> None:
    cv2.setNumThreads(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
