"""Measures the useless share of a search space: uniform draws that are still at chance after some training steps.

  python -m benchmarks.draws                          # 40 draws of baseline_cnn, 600 steps each: an hour of one core
  python -m benchmarks.draws --root WORKSPACE --space my_models.cnn:build_model

A draw is at chance while its val_f1_macro is below 1.1 / classes. It is evaluated every 100 steps, and its training
ends once it reaches 1.5 / classes. The exit code is 1 if more than a twentieth of all draws end at chance.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Steps between two evaluations; length of the learning-rate schedules in epochs; validation images evaluated at most.
CHUNK, EPOCHS, VALIDATION = 100, 27, 1500
#: Scores, in units of 1 / classes, below which a draw is at chance, and from which on it certainly is not.
CHANCE, LEARNED = 1.1, 1.5
#: The share of draws that may end at chance.
ALLOWED = 0.05


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.draws", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="baseline_cnn", metavar="SPACE", help="(baseline_cnn)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="a prepared workspace (default: FER2013, or drawn)")
    parser.add_argument("--draws", type=int, default=40, metavar="N", help="(40)")
    parser.add_argument("--steps", type=int, default=600, metavar="N", help="(600)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = options().parse_args(argv)
    _use_one_core()
    from benchmarks.data import opened, sample

    with tempfile.TemporaryDirectory() as scratch:
        data = opened(args.root, str(args.root)) if args.root else sample(Path(scratch) / "sample", None)
        silent = 0
        for number, values in enumerate(drawn(data.workspace, args.space, args.draws, args.seed)):
            began = time.process_time()
            steps, score, classes = trained(data.workspace, args.space, values, args.steps, args.seed + number)
            silent += at_chance(score, classes)
            row = {"draw": number, "steps": steps, "val_f1_macro": score, "at_chance": at_chance(score, classes)}
            print(json.dumps({**row, "seconds": round(time.process_time() - began, 1), "values": values}), flush=True)
    print(f"{silent} of {args.draws} draws at chance after {args.steps} steps ({data.source}); allowed: {ALLOWED:.0%}")
    return int(silent > ALLOWED * args.draws)


def _use_one_core() -> None:
    from tuning.trials import runtime

    os.environ.update(runtime.environment("tensorflow", 1))
    runtime.configure(1)


def at_chance(score: float | None, classes: int) -> bool:
    return score is None or score < CHANCE / classes


def drawn(workspace: Any, space: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw configurations uniformly from a space; the default configuration is not among them."""
    import keras_tuner

    from tuning.core.records import configuration
    from tuning.dataset.store.arrays import open_dataset
    from tuning.oracles import find_strategy
    from tuning.oracles.adapter import OracleSearch
    from tuning.trials.build import built

    _, known = built(space, {}, seed, "float32", open_dataset(workspace))
    objective = keras_tuner.Objective("val_f1_macro", "max")
    oracle: Any = find_strategy("random")(
        objective, hyperparameters=known, max_epochs=1, factor=3, max_trials=count + 1, seed=seed, first=()
    )
    strategy = OracleSearch(oracle)
    return [configuration(strategy.ask().values) for _ in range(count + 1)][1:]


def trained(workspace: Any, space: str, values: dict[str, Any], limit: int, seed: int) -> tuple[int, float | None, int]:
    """Train a configuration for at most `limit` steps; return (steps trained, last val_f1_macro, number of classes).

    The score is None if the loss or the outputs are not finite.
    """
    import numpy as np

    from tuning.dataset.store.arrays import open_dataset
    from tuning.trials import runtime
    from tuning.trials.batches import TrainingBatches
    from tuning.trials.build import built
    from tuning.trials.fit import figures, predict
    from tuning.trials.plan import TrainingPlan, learning_rate_factor, warmup_epochs
    from tuning.trials.spaces import interface
    from tuning.trials.steps import steps_of, swap_layers

    dataset = open_dataset(workspace)
    classes = len(dataset.info.classes)
    seen = np.sort(np.random.default_rng(0).permutation(len(dataset.val))[:VALIDATION])
    images, labels = dataset.val.images[seen], dataset.val.labels[seen]
    model, hp = built(space, values, seed, "float32", dataset)
    plan = TrainingPlan.from_values(hp.values)
    swap_layers(model)
    steps = steps_of(model, interface(model, space))
    rate, warmup = float(model.optimizer.learning_rate), warmup_epochs(plan, EPOCHS)
    per_epoch = len(dataset.train) / plan.batch_size
    done, number = 0, 0
    score = None
    while done < limit:
        number += 1
        batches = TrainingBatches(dataset.train, classes, plan, steps.batch_interface, seed, number)
        batches.order = batches.order[: min(CHUNK, limit - done) * plan.batch_size]
        steps.prepare(batches)
        runtime.begin_epoch(model, seed, number)
        epochs = [(done + step + 1) / per_epoch for step in range(len(batches))]
        rates = [
            rate * (e / warmup if e < warmup else learning_rate_factor(plan, math.ceil(e), EPOCHS, [])) for e in epochs
        ]
        loss = float(steps.train(batches, rates)["loss"])
        done += len(batches)
        score = figures(predict(steps, images), labels, classes)["val_f1_macro"] if math.isfinite(loss) else None
        if score is None or score >= LEARNED / classes:
            break
    return done, score, classes


if __name__ == "__main__":
    sys.exit(main())
