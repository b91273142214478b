"""Measures how fast this machine copies the output of a layer, in bytes per second. One measurement per round.

python -m benchmarks.children.copying
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.processes import MIB, rounds, say

#: Size of the output of the first convolution of `spaces.usual_cnn` for one batch, in bfloat16.
BYTES = 9 * MIB
SECONDS = 0.6


def main() -> None:
    source, target = np.ones(BYTES, np.uint8), np.zeros(BYTES, np.uint8)
    for _ in rounds():
        copies, began = 0, time.perf_counter()
        while (seconds := time.perf_counter() - began) < SECONDS:
            np.copyto(target, source)
            copies += 1
        say({"uint8": copies * BYTES / seconds})


if __name__ == "__main__":
    main()
