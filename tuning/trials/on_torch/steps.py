"""Training and prediction steps on PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import torch

from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.keras_private import torch_device
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps


def steps_of(model: keras.Model, interface: Interface) -> KerasSteps:
    """Returns the steps of a model that `model.fit` would train with Keras's own training step."""
    return (KerasSteps if model.jit_compile else TorchSteps)(model, interface)


class TorchSteps(KerasSteps):
    """Runs Keras's own training step without Keras's loop, which waits for the device after every step.

    Images are transferred as uint8 and scaled on the device.
    """

    def __init__(self, model: keras.Model, interface: Interface) -> None:
        super().__init__(model, interface)
        self.batch_interface = dataclasses.replace(interface, scaled=False)

    def train(self, batches: TrainingBatches, rates: Sequence[float] | None = None) -> dict[str, Any]:
        self.prepare(batches)
        self.model.reset_metrics()
        self.model.train()
        for index in range(len(batches)):
            if rates is not None:
                self.model.optimizer.learning_rate = rates[index]
            images, *rest = (torch.from_numpy(array).to(torch_device()) for array in batches[index])
            self.model.train_step((self._scaled(images), *rest))
        self.model.eval()
        return self.model.get_metrics_result()

    @torch.no_grad()
    def outputs(self, images: np.ndarray) -> np.ndarray:
        self.model.eval()
        found = []
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = torch.from_numpy(np.array(images[start : start + EVALUATION_BATCH])).to(torch_device())
            found.append(self.model.predict_step((self._scaled(batch),)).float())
        return np.concatenate([outputs.numpy(force=True) for outputs in found])

    def _scaled(self, images: Any) -> Any:
        return images.float() / 255 if self.interface.scaled else images
