"""How fast this machine copies what one layer of a training step hands to the next; a round each time.

python -m benchmarks.children.copying
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.processes import MIB, rounds, say

#: What the first convolution of `spaces.usual_cnn` returns for a batch, in bfloat16.
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
