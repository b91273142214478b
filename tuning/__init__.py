"""Finds the best CNN for a folder of face images, and can prove it.

The names below are the Python API; they load on first use, so that `import tuning` and every `--help` stay instant.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

#: public name -> module that defines it
_API = {
    "Resources": "tuning.pipeline.session",
    "Workspace": "tuning.workspace",
    "leaderboard_frame": "tuning.results.leaderboard",
    "prepare_dataset": "tuning.dataset.preparation",
    "run_search": "tuning.pipeline.search",
    "train_one": "tuning.pipeline.train",
}

__all__ = ["__version__", *_API]


def __getattr__(name: str):
    if name in _API:
        return getattr(importlib.import_module(_API[name]), name)
    raise AttributeError(f"module 'tuning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
