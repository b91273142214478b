"""`keras_tuner.Hyperband` over the space `baseline_cnn`, as a competent user writes it; it runs until it is killed.

python benchmarks/plain_hyperband.py DATA --max-epochs 20 --seed 0 --project DIR --out FILE

DATA holds train.images.npy, train.labels.npy and the same for val. Batch size, flips, augmentation, class balance and
the cosine schedule follow the trial's hyperparameters, with Keras's own layers and callbacks. At the end of each epoch,
one line of JSON is appended to FILE.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from search_spaces.baseline_cnn import build_model


class Faces(keras_tuner.HyperModel):
    """Builds and trains a trial of the space `baseline_cnn`."""

    def __init__(self, arrays: dict[str, np.ndarray], max_epochs: int) -> None:
        super().__init__()
        self.arrays, self.max_epochs = arrays, max_epochs
        self.classes = int(arrays["train.labels"].max()) + 1

    def build(self, hp):
        mend(hp)
        images = self.arrays["train.images"]
        model = build_model(hp, (*images.shape[1:3], 1), self.classes)
        f1 = keras.metrics.F1Score(average="macro", name="f1_macro")
        model.compile(optimizer=model.optimizer, loss=model.loss, metrics=[f1])
        return model

    def fit(self, hp, model, callbacks, **options):
        rate, batch, magnitude = hp.get("learning_rate"), hp.get("batch_size"), hp.get("augmentation")
        labels = self.arrays["train.labels"]
        changes = [keras.layers.RandomFlip("horizontal")]
        if magnitude:
            changes += [
                keras.layers.RandomTranslation(0.1 * magnitude, 0.1 * magnitude),
                keras.layers.RandomRotation(0.05 * magnitude),
                keras.layers.RandomZoom(0.1 * magnitude),
            ]
        augment = keras.Sequential(changes)
        train = self.batches("train", batch, shuffle=True).map(lambda x, y: (augment(x, training=True), y))
        weights = None
        if hp.get("class_balance") == "sampler":
            counts = np.bincount(labels)
            weights = {index: len(labels) / len(counts) / count for index, count in enumerate(counts)}
        cosine = keras.callbacks.LearningRateScheduler(
            lambda epoch: rate * (0.01 + 0.99 * (1 + math.cos(math.pi * epoch / self.max_epochs)) / 2)
        )
        return model.fit(
            train.prefetch(1),
            validation_data=self.batches("val", 512),
            class_weight=weights,
            callbacks=[*callbacks, cosine],
            **options,
        )

    def batches(self, split: str, batch: int, shuffle: bool = False) -> tf.data.Dataset:
        images, labels = self.arrays[f"{split}.images"], self.arrays[f"{split}.labels"]
        images = images.reshape(*images.shape[:3], 1).astype("float32")
        data = tf.data.Dataset.from_tensor_slices((images, keras.utils.to_categorical(labels, self.classes)))
        return (data.shuffle(len(labels)) if shuffle else data).batch(batch)


def mend(hp: keras_tuner.HyperParameters) -> None:
    """Draws the values that Keras Tuner has dropped.

    It drops the value of an active hyperparameter if an inactive one of the same name follows, here the learning rate
    of all plain blocks, so that the builder would end in a KeyError. Equal other values give an equal draw, since
    promoted configurations lose theirs again.
    """
    known = sorted((name, value) for name, value in hp.values.items() if not name.startswith("tuner/"))
    for one in hp.space:
        if hp.is_active(one) and one.name not in hp.values:
            hp.values[one.name] = one.random_sample(zlib.crc32(repr(known).encode()))


class Clock(keras.callbacks.Callback):
    """Writes the time at the end of each epoch and its validation macro-F1.

    It opens the file for each line, because Keras Tuner deep-copies callbacks, which an open file does not allow.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def on_epoch_end(self, epoch, logs=None):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), "val_f1_macro": float(logs["val_f1_macro"])}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--max-epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    names = [f"{split}.{kind}" for split in ("train", "val") for kind in ("images", "labels")]
    tuner = keras_tuner.Hyperband(
        Faces({name: np.load(args.data / f"{name}.npy") for name in names}, args.max_epochs),
        objective=keras_tuner.Objective("val_f1_macro", "max"),
        max_epochs=args.max_epochs,
        hyperband_iterations=100,
        seed=args.seed + 1,  # Keras Tuner replaces 0 by a random one
        directory=args.project,
        project_name="plain",
    )
    tuner.search(callbacks=[Clock(args.out)], verbose=0)


if __name__ == "__main__":
    main()
