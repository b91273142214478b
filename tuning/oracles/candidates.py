"""Where a model looks for its next configuration: latent rows (see `tuning.oracles.embedding`), all of them keyed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuning.core import records
from tuning.oracles.embedding import LAST, Embedding

#: Step sizes of local candidates, in cumulative probability.
STEPS = (0.02, 0.1, 0.3)
#: Uniform candidates, and some around the best known.
UNIFORM, LOCAL = 200, 100
#: Then so many around the best candidates, with steps that become shorter from round to round.
CLIMBING, SHORTER = 40, (1.0, 0.5, 0.2)
#: Candidates that are climbed from.
SUMMITS = 5


def design_row(embedding: Embedding, seed: int, number: int, count: int) -> np.ndarray:
    """Row `number` of `count` of a Latin hypercube (McKay, Beckman, Conover, Technometrics 21, 1979), (d,).

    Over the design, every entry takes each part of its range once.
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
    """Candidates (m, d) and their gains (m,), the best first: many, then climbing from the best of them.

    Args:
        gains_of: gains of latent rows.
        centres: (c, d) latent rows around which is looked too.
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
    """(count, d): copies of the centres (c, d) with some entries moved a step, or drawn anew if unordered.

    Args:
        length: of the steps, as a share of `STEPS`.
    """
    dimensions = centres.shape[1]
    rows = centres[np.arange(count) % len(centres)]
    moved = generator.random((count, dimensions)) < max(0.2, 1.0 / dimensions)
    moved[np.arange(count), generator.integers(dimensions, size=count)] = True
    steps = generator.normal(size=(count, dimensions)) * generator.choice(STEPS, size=(count, 1)) * length
    anew = generator.random((count, dimensions))
    moves = np.where(embedding.unordered, anew, np.clip(rows + steps, 0.0, LAST))
    return np.where(moved, moves, rows)
