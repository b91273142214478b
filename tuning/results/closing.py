"""The last lines that a search prints: whether an earlier model stays promoted, and which command to run next."""

from __future__ import annotations

import msgspec

from tuning.core.workspace import Workspace
from tuning.results.answers import TIED, Board, configuration
from tuning.results.card_sections import again
from tuning.results.runs import best_run, read_run, readable_runs, run_params


def kept_words(workspace: Workspace, promoted: str, runs: tuple[str, ...]) -> str:
    """Returns a sentence if the promoted model is none of these runs; empty if it is one of them."""
    if promoted in runs:
        return ""
    score = read_run(workspace.run(promoted)).test.f1_macro
    own = best_run(metrics for metrics in readable_runs(workspace) if metrics.run_id in runs)
    compared = "as high" if own is not None and own.test.f1_macro == score else "higher"
    return f" Kept the earlier model, {promoted}: its test macro-F1, {score:.3f}, is {compared}."


def second_seed(workspace: Workspace, runs: tuple[str, ...]) -> str | None:
    """Returns the command that trains the best of these runs with another seed, so that the noise of seeds is known.

    It is also suggested if only one run was repeated, of another configuration, and something is tied with the best:
    one more repeat makes intervals narrower by three quarters (`python -m benchmarks.claims power`). Returns None if
    more repeats exist, nothing is tied with the best, or there are fewer than two runs. Runs that their budget's clock
    ended early are not considered: no command can repeat them.
    """
    readable, own = readable_runs(workspace), {}
    for metrics in readable:
        params = run_params(workspace, metrics.run_id) if metrics.run_id in runs else None
        if params is not None and metrics.kind != "ensemble" and params.settings.shortened is msgspec.UNSET:
            own[metrics.run_id] = params
    best = best_run(metrics for metrics in readable if metrics.run_id in own)
    if best is None or len(runs) < 2:
        return None
    same = [metrics for metrics in readable if metrics.data_digest == best.data_digest]
    board = Board(workspace, same)
    if board.noise is not None:
        key = configuration(workspace, best)
        repeated = any(one.seed != best.seed and configuration(workspace, one) == key for one in same)
        others = [run for run in runs if run != best.run_id]
        tied = any(board.standing(run, best.run_id) == TIED for run in others)
        if board.noise.degrees > 1 or repeated or not tied:
            return None
    params = own[best.run_id]
    settings = msgspec.structs.replace(params.settings, seed=best.seed + 1)
    return again(best, msgspec.structs.replace(params, settings=settings))
