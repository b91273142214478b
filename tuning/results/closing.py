"""How a search ends in the terminal: what became of an earlier model, and what would tell more."""

from __future__ import annotations

import msgspec

from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.results.answers import Board
from tuning.results.card_sections import again
from tuning.results.runs import read_run, readable_runs
from tuning.results.schema import Metrics, read_params


def kept_words(workspace: Workspace, promoted: str, runs: tuple[str, ...]) -> str:
    """That the promoted model is not one of these runs; nothing where it is."""
    if promoted in runs:
        return ""
    score = read_run(workspace.run(promoted)).test.f1_macro
    return f" Kept the earlier model, {promoted}: its test macro-F1, {score:.3f}, is higher."


def second_seed(workspace: Workspace, runs: tuple[str, ...]) -> str | None:
    """The command that trains the best of these runs with another seed: until then nothing is better or worse.

    None where seeds are known, and where there is nothing to compare.
    """
    found = [metrics for metrics in readable_runs(workspace) if metrics.run_id in runs and metrics.kind != "ensemble"]
    if not found:
        return None
    best = max(found, key=lambda metrics: (metrics.test.f1_macro, metrics.run_id))
    same = [metrics for metrics in readable_runs(workspace) if metrics.data_digest == best.data_digest]
    if len(runs) < 2 or Board(workspace, same).noise is not None:
        return None
    return _again(workspace, best)


def _again(workspace: Workspace, metrics: Metrics) -> str | None:
    try:
        params = read_params(workspace.run(metrics.run_id) / "params.json", "")
    except (DataError, OSError):
        return None
    settings = msgspec.structs.replace(params.settings, seed=metrics.seed + 1)
    return again(metrics, msgspec.structs.replace(params, settings=settings))
