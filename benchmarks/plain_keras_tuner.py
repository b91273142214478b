"""A search as a competent user of Keras Tuner writes it, without this package.

python benchmarks/plain_keras_tuner.py DATA --max-epochs 9 --iterations 1 --project DIR --out FILE

DATA holds train/CLASS/… and val/CLASS/…. All cores, float32, arrays in memory, a cached and prefetched `tf.data`,
Keras's own macro-F1 as the objective. FILE receives the time and metrics of each epoch, and the best score.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import keras_tuner
import tensorflow as tf

from benchmarks.spaces import BATCH, usual_cnn


class UsualModel(keras_tuner.HyperModel):
    """Builds and trains a trial; `train` and `val` are batched data sets."""

    def __init__(self, train: tf.data.Dataset, val: tf.data.Dataset) -> None:
        super().__init__()
        self.train, self.val = train, val

    def build(self, hp):
        return usual_cnn(hp)

    def fit(self, hp, model, **options):
        return model.fit(self.train, validation_data=self.val, **options)


class Clock(keras.callbacks.Callback):
    """Records the time and metrics of every epoch, in the class, because Keras Tuner copies callback instances."""

    epochs: list[dict] = []  # noqa: RUF012

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append({"time": time.monotonic(), **{name: float(value) for name, value in logs.items()}})


def load(folder: Path) -> tuple:
    """Load images, float32 (n, 48, 48, 1) in 0…255, and one-hot labels into memory."""
    batches = keras.utils.image_dataset_from_directory(
        folder, color_mode="grayscale", image_size=(48, 48), label_mode="categorical", batch_size=512, shuffle=False
    )
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return tf.concat(images, 0), tf.concat(labels, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--max-epochs", type=int, default=9)
    parser.add_argument("--factor", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    train, val = load(args.data / "train"), load(args.data / "val")
    count = int(train[0].shape[0])
    tuner = keras_tuner.Hyperband(
        UsualModel(
            tf.data.Dataset.from_tensor_slices(train).cache().shuffle(count).batch(BATCH).prefetch(tf.data.AUTOTUNE),
            tf.data.Dataset.from_tensor_slices(val).batch(512).cache().prefetch(tf.data.AUTOTUNE),
        ),
        objective=keras_tuner.Objective("val_f1_macro", "max"),
        max_epochs=args.max_epochs,
        factor=args.factor,
        hyperband_iterations=args.iterations,
        seed=args.seed,
        directory=args.project,
        project_name="plain",
        overwrite=True,
    )
    tuner.search(callbacks=[Clock()], verbose=0)
    trials = tuner.oracle.get_best_trials(1000)
    result = {
        "trials": len(tuner.oracle.trials),
        "epochs": Clock.epochs,
        "best_val_f1_macro": trials[0].score,
        "train": count,
        "val": int(val[0].shape[0]),
    }
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
