"""Finds the best CNN for a folder of face images, and can prove it.

The names below are the Python API; they load on first use, so that `import tuning` and every `--help` stay instant.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

__version__ = "0.1.0"

#: public name -> module that defines it, followed by `:name` if its name there differs
_API = {
    # workspace, output, machines, errors
    "Console": "tuning.cli",
    "ProgressLine": "tuning.core.notebook",
    "Resources": "tuning.pipeline.resources",
    "Tracking": "tuning.tracking",
    "TuningError": "tuning.core.errors",
    "Workspace": "tuning.core.workspace",
    # from images to a model
    "write_demo_faces": "demo_faces",
    "prepare_dataset": "tuning.dataset.preparation",
    "plan_search": "tuning.pipeline.plan",
    "run_search": "tuning.pipeline.search",
    "train_one": "tuning.pipeline.train",
    # for your own model builders
    "base_model": "tuning.trials.bases",
    # replaces Keras Tuner's `Tuner`, for this package's oracles
    "Tuner": "tuning.oracles.tuner",
    # results as pandas frames
    "dataset_frame": "tuning.results.frames",
    "trials_frame": "tuning.results.frames",
    "curves_frame": "tuning.results.frames",
    "leaderboard_frame": "tuning.results.leaderboard",
    "predict_frame": "tuning.results.prediction.frame",
    # results as matplotlib figures
    "faces_figure": "tuning.results.figures",
    "search_figures": "tuning.results.figures",
    "run_figures": "tuning.results.figures",
    "predictions_figure": "tuning.results.figures",
    "save_figure": "tuning.results.plots:save",
    # the promoted model
    "promoted_classifier": "tuning.results.prediction.classifier",
}

__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name in _API:
        module, _, other = _API[name].partition(":")
        try:
            found = getattr(importlib.import_module(module), other or name)
        except ModuleNotFoundError as error:
            from tuning.core import packages

            missing = (error.name or "").partition(".")[0]
            if missing in ("", "tuning"):
                raise
            remedy = packages.remedy(missing)
            raise ModuleNotFoundError(f"the package {missing} is missing: {remedy}", name=error.name) from error
        if isinstance(found, types.FunctionType):
            from tuning.core.border import guarded

            found = globals()[name] = guarded(found)
        return found
    raise AttributeError(f"module 'tuning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
