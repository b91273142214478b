"""Batches from the packed arrays: the images of an epoch depend only on (seed, epoch)."""

from __future__ import annotations

import keras
import numpy as np

from tuning.core.records import keyed_seed
from tuning.dataset.store.packing import ImageSplit
from tuning.trials.augmentation import augment
from tuning.trials.plan import TrainingPlan
from tuning.trials.read_ahead import ReadAhead
from tuning.trials.spaces import Interface

EVALUATION_BATCH = 512
#: An epoch's last images join the batch before them if they are fewer than this share of a batch. In batch norm's
#: averages a step of few images weighs as much as any other, and the last step most: with a momentum of 0.7, a single
#: image would make up 30 % of the averages that are validated and published.
LEAST_LAST_BATCH = 0.25
#: Bytes of images in batches that are made one after the other: for the first of them, the CPU caches are full of the
#: training step's data, for the others they are not.
BYTES_TOGETHER = 2**20


def epoch_order(labels: np.ndarray, class_balance: str, seed: int, epoch: int) -> np.ndarray:
    """Returns the indices (n,) int64 of the images of an epoch, in order.

    With the balanced sampler, each draw picks a class uniformly, then an image of it (with replacement), so that all
    classes have equal weight and the epoch has as many images as without it.
    """
    rng = np.random.default_rng(keyed_seed(seed, "order", epoch))
    if class_balance != "sampler":
        return rng.permutation(len(labels))
    counts = np.bincount(labels)
    weights = 1.0 / counts[labels]
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Returns weights (classes,) float32 proportional to 1/√count, with mean 1 over the images."""
    counts = np.bincount(labels)
    weights = np.divide(1.0, np.sqrt(counts), out=np.zeros(len(counts)), where=counts > 0)
    return (weights / np.average(weights, weights=counts)).astype(np.float32)


def as_input(images: np.ndarray, interface: Interface) -> np.ndarray:
    """Converts uint8 images to the model's input: unchanged, or float32 in 0…1."""
    return images.astype(np.float32) / np.float32(255) if interface.scaled else images


class TrainingBatches(keras.utils.PyDataset):
    """One epoch of training batches: (images, labels[, weights]).

    Args:
        subset: (index, count) of a subset of the epoch's images; the subsets in order make up the epoch.
    """

    def __init__(
        self,
        split: ImageSplit,
        classes: int,
        plan: TrainingPlan,
        interface: Interface,
        seed: int,
        epoch: int,
        subset: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.split, self.plan, self.interface = split, plan, interface
        self.seed, self.epoch = seed, epoch
        self.order = epoch_order(split.labels, plan.class_balance, seed, epoch)
        self.key: tuple[int, ...] = (epoch,)
        if subset is not None:
            index, count = subset
            self.order = self.order[index * len(self.order) // count : (index + 1) * len(self.order) // count]
            self.key = (epoch, index)
        self.weights = class_weights(split.labels) if plan.class_balance == "weights" else None
        self.one_hot = None if interface.sparse else np.eye(classes, dtype=np.float32)

        self.ahead = ReadAhead(split.images)
        self._together = max(1, BYTES_TOGETHER // (split.images[:1].nbytes * plan.batch_size))
        self._made: dict[int, tuple[np.ndarray, ...]] = {}

    def __len__(self) -> int:
        whole, rest = divmod(len(self.order), self.plan.batch_size)
        return max(1, whole + (rest >= LEAST_LAST_BATCH * self.plan.batch_size))

    def chosen(self, index: int) -> np.ndarray:
        """Returns the indices of the images of a batch."""
        end = None if index == len(self) - 1 else (index + 1) * self.plan.batch_size
        return self.order[index * self.plan.batch_size : end]

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        if index not in self._made:
            end = min(index + self._together, len(self))
            self._made = {number: self._make(number) for number in range(index, end)}
            for number in range(end, min(end + self._together, len(self))):
                self.ahead.request(self.chosen(number))
        return self._made[index]

    def _make(self, index: int) -> tuple[np.ndarray, ...]:
        chosen = self.chosen(index)
        rng = np.random.default_rng(keyed_seed(self.seed, "augment", *self.key, index))
        images = self.split.images[chosen]
        if self.plan.flip or self.plan.augmentation > 0:
            images = augment(images, self.plan.augmentation, self.plan.flip, rng)
        classes = self.split.labels[chosen]
        labels = classes if self.one_hot is None else self.one_hot[classes]
        batch = (as_input(images, self.interface), labels)
        return batch if self.weights is None else (*batch, self.weights[classes])


class EvaluationBatches(keras.utils.PyDataset):
    """A split in order, in large batches of images only."""

    def __init__(self, images: np.ndarray, interface: Interface) -> None:
        super().__init__()
        self.images, self.interface = images, interface

    def __len__(self) -> int:
        return -(-len(self.images) // EVALUATION_BATCH)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        start = index * EVALUATION_BATCH
        return (as_input(np.asarray(self.images[start : start + EVALUATION_BATCH]), self.interface),)
