"""What a builder raises while a configuration is built for a training."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from tuning.core.errors import UsageError
from tuning.trials import build


@pytest.fixture
def raising(monkeypatch):
    """raising(error) trains a configuration whose builder raises it."""

    def train(error):
        def built(*_):
            raise error

        monkeypatch.setattr(build, "built", built)
        job = SimpleNamespace(space="mine:build", values={}, dtype_policy="float32")
        build.training_steps(job, 0, None)

    return train


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "weights.npy"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        OSError("Can't load it"),
    ],
)
def test_what_a_builder_does_not_find_is_its_configurations_affair(error, raising):
    with pytest.raises(UsageError) as caught:
        raising(error)
    assert f"'mine:build' raises {type(error).__name__}: {error}" in caught.value.problem


def test_a_full_disk_is_not(raising):
    with pytest.raises(OSError, match="No space left"):
        raising(OSError(errno.ENOSPC, "No space left on device", "/cache/weights.h5"))
