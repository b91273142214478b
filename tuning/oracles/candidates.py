"""Candidates for a model's next configuration, as latent rows (see `tuning.oracles.embedding`); all draws are keyed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuning.core import records
from tuning.oracles.embedding import LAST, Embedding

#: Step sizes of local candidates, in cumulative probability.
STEPS = (0.02, 0.1, 0.3)
#: Number of uniform candidates, and of candidates around the best known configurations.
UNIFORM, LOCAL = 200, 100
#: Then the number of candidates per round around the best so far, and the relative step length of each round.
CLIMBING, SHORTER = 40, (1.0, 0.5, 0.2)
#: Number of best candidates from which each round continues.
SUMMITS = 5


def design_row(embedding: Embedding, seed: int, number: int, count: int) -> np.ndarray:
    """Returns row `number` of a Latin hypercube of `count` rows, (d,).

    Across the design, every entry takes each of `count` equal parts of its range once (McKay, Beckman, Conover,
    Technometrics 21, 1979).
    """
    row = []
    for entry in embedding.entries:
        generator = np.random.default_rng(records.keyed_seed(seed, "design", entry.name))
        row.append((generator.permutation(count)[number] + generator.random(count)[number]) / count)
    return np.minimum(row, LAST)


def maximise(
    embedding: Embedding,
    gains_of: Callable[[np.ndarray], np.ndarray],
    centres: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns candidates (m, d) and their gains (m,), best first: a random search, then local search from the best.

    Args:
        gains_of: computes the gains of latent rows.
        centres: (c, d) latent rows around which candidates are generated too.
    """
    uniform = generator.random((UNIFORM, len(embedding.entries)))
    rows = np.vstack([uniform, around(embedding, centres, LOCAL, generator)])
    gains = gains_of(rows)
    for length in SHORTER:
        summits = rows[np.argsort(-gains, kind="stable")[:SUMMITS]]
        nearby = around(embedding, summits, CLIMBING, generator, length)
        rows, gains = np.vstack([rows, nearby]), np.append(gains, gains_of(nearby))
    order = np.argsort(-gains, kind="stable")
    return rows[order], gains[order]


def around(
    embedding: Embedding, centres: np.ndarray, count: int, generator: np.random.Generator, length: float = 1.0
) -> np.ndarray:
    """Returns copies (count, d) of the centres (c, d), with some entries moved by a step or, if unordered, redrawn.

    Args:
        length: length of the steps relative to `STEPS`.
    """
    dimensions = centres.shape[1]
    rows = centres[np.arange(count) % len(centres)]
    moved = generator.random((count, dimensions)) < max(0.2, 1.0 / dimensions)
    moved[np.arange(count), generator.integers(dimensions, size=count)] = True
    steps = generator.normal(size=(count, dimensions)) * generator.choice(STEPS, size=(count, 1)) * length
    redrawn = generator.random((count, dimensions))
    moves = np.where(embedding.unordered, redrawn, np.clip(rows + steps, 0.0, LAST))
    return np.where(moved, moves, rows)
