"""Where a model looks for its next configuration: latent rows (see `tuning.oracles.embedding`), all of them keyed."""

from __future__ import annotations

import numpy as np

from tuning.core import records
from tuning.oracles.embedding import LAST, Embedding

#: Step sizes of local candidates, in cumulative probability.
STEPS = (0.02, 0.1, 0.3)


def design_row(embedding: Embedding, seed: int, number: int, count: int) -> np.ndarray:
    """Row `number` of `count` of a Latin hypercube (McKay, Beckman, Conover, Technometrics 21, 1979), (d,).

    Over the design, every entry takes each part of its range once.
    """
    row = []
    for entry in embedding.entries:
        generator = np.random.default_rng(records.keyed_seed(seed, "design", entry.name))
        row.append((generator.permutation(count)[number] + generator.random(count)[number]) / count)
    return np.minimum(row, LAST)


def around(embedding: Embedding, centres: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, d): copies of the centres (c, d) with some entries moved a step, or drawn anew if unordered."""
    dimensions = centres.shape[1]
    rows = centres[np.arange(count) % len(centres)]
    moved = generator.random((count, dimensions)) < max(0.2, 1.0 / dimensions)
    moved[np.arange(count), generator.integers(dimensions, size=count)] = True
    steps = generator.normal(size=(count, dimensions)) * generator.choice(STEPS, size=(count, 1))
    anew = generator.random((count, dimensions))
    moves = np.where(embedding.unordered, anew, np.clip(rows + steps, 0.0, LAST))
    return np.where(moved, moves, rows)
