"""Runs one trial as a worker of this package does, one epoch per round.

python -m benchmarks.children.our_trial ROOT SPACE NAME DTYPE
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.processes import rounds, say
from tuning.core.workspace import Workspace
from tuning.pipeline.resources import Resources
from tuning.pipeline.session import opened
from tuning.pipeline.settings import search_settings
from tuning.pipeline.trials import build_strategy, trial_jobs

#: More epochs than any caller asks for.
EPOCHS = 10_000


def main(root: str, space: str, name: str, dtype: str) -> None:
    workspace = Workspace(Path(root))
    settings = search_settings(
        workspace, "random", space=space, name=name, max_epochs=EPOCHS, dtype=dtype, stop_curves=False
    )
    with opened(workspace, workspace.search(name), settings, Resources(executor="inline", workers=1)) as session:
        description = session.describe()

        from tuning.dataset.store.arrays import open_dataset
        from tuning.trials.jobs import run_job

        dataset = open_dataset(workspace)
        images = len(dataset.train)
        # Every strategy proposes the space's defaults first.
        first = build_strategy(settings, description, len(dataset.info.classes)).ask()
        payload = msgspec.to_builtins(trial_jobs(session, settings, description)(first, 1))
        fed = time_feeding()
        turns = rounds()

        def wait() -> None:
            if next(turns, None) is None:
                # Nothing else ends a trial that still has thousands of epochs to train.
                os._exit(0)

        def report(entry: dict[str, Any]) -> None:
            answer = {"seconds": entry["seconds"], "images": images, "dtype": settings.dtype_policy}
            say({**answer, "batches": len(fed), "feeding_seconds": sum(fed)})
            fed.clear()
            wait()

        wait()
        run_job("trial", payload, report)


def time_feeding() -> list[float]:
    """Return a list to which the seconds spent on preparing each training batch are appended from now on."""
    from tuning.trials.batches import TrainingBatches

    original, seconds = TrainingBatches.__getitem__, []

    def timed(self, index: int):
        began = time.perf_counter()
        batch = original(self, index)
        seconds.append(time.perf_counter() - began)
        return batch

    TrainingBatches.__getitem__ = timed
    return seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
