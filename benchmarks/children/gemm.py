"""Measures how fast TensorFlow multiplies matrices here, at the fastest of several sizes. One measurement per round.

python -m benchmarks.children.gemm
"""

from __future__ import annotations

import time

from benchmarks.processes import rounds, say

SIZES = (512, 1024, 2048)
SECONDS = 0.4


def main() -> None:
    import tensorflow as tf

    for _ in rounds():
        say({dtype.name: max(_rate(tf, dtype, size) for size in SIZES) for dtype in (tf.float32, tf.bfloat16)})


def _rate(tf, dtype, size: int) -> float:
    """Return floating-point operations per second of the fastest multiplication."""
    generator = tf.random.Generator.from_seed(0)
    a, b = (tf.cast(generator.normal((size, size)), dtype) for _ in range(2))

    def multiply() -> float:
        began = time.perf_counter()
        tf.linalg.matmul(a, b).numpy()
        return time.perf_counter() - began

    multiply()
    best, ends = multiply(), time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        best = min(best, multiply())
    return 2 * size**3 / best


if __name__ == "__main__":
    main()
