"""Trains the same model on the same data with plain Keras, one epoch per round: float32, default threads, a cached and
prefetched `tf.data` (with other backends than TensorFlow: arrays in memory).

python -m benchmarks.children.plain_fit ROOT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.processes import rounds, say


def main(root: str) -> None:
    import keras
    import keras_tuner

    from benchmarks.spaces import BATCH, CLASSES, usual_cnn
    from tuning.core.workspace import Workspace
    from tuning.dataset.store.arrays import open_dataset
    from tuning.trials.cost import multiply_adds

    train = open_dataset(Workspace(Path(root))).train
    images, labels = train.images[:].astype("float32"), keras.utils.to_categorical(train.labels, CLASSES)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cached = tf.data.Dataset.from_tensor_slices((images, labels)).cache()
        data = {"x": cached.shuffle(len(images)).batch(BATCH).prefetch(tf.data.AUTOTUNE)}
    else:
        data = {"x": images, "y": labels, "batch_size": BATCH}
    model = usual_cnn(keras_tuner.HyperParameters())
    for _ in rounds():
        began = time.monotonic()
        model.fit(**data, epochs=1, verbose=0)
        seconds = time.monotonic() - began
        say(
            {
                "seconds": seconds,
                "images": len(images),
                "parameters": model.count_params(),
                # A multiply-add is two operations; the backward pass costs twice the forward pass.
                "flops": 6 * multiply_adds(model),
            }
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
