"""The promotion rule: the run with the highest test macro-F1 becomes `artifacts/models/best_model.keras`, with its
metrics and a model card beside it.

There is no fallback: no other figure counts, and without a comparable run nothing is promoted. Only runs that were
tested on the current data are compared.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from tuning.core import files
from tuning.core.errors import DataError, TuningError, listed
from tuning.core.progress import SILENT, Progress
from tuning.core.workspace import Workspace
from tuning.results import leaderboard, model_card
from tuning.results.answers import Board
from tuning.results.runs import best_run, read_runs, verify_model
from tuning.results.schema import Metrics, Origin, base_words, read_metrics

PROMOTE = "python -m tuning.promote"
RULE = "highest test_f1_macro among the runs tested on the same data; ties by run_id"
#: Most left-out runs that the warning names.
_NAMED = 5


@dataclass(frozen=True)
class Promotion:
    """The outcome of the promotion rule.

    Attributes:
        run_id: the run with the highest test macro-F1.
        test_f1_macro: its test macro-F1.
        base: suffix that names the base it started from, see `base_words`; may be empty.
        corrected: `test_f1_macro` corrected for selection; None if predictions were not kept or are of a single unit.
        previous: the run that was promoted before; None if there was none or its files do not belong together.
        changed: whether model and metrics had to be written (with a dry run: would have to be).
        compared: number of runs that were compared.
        left_out: runs tested on other data, whose figures are not comparable.
        data_digest: digest of the data that the compared runs were tested on.
    """

    run_id: str
    test_f1_macro: float
    base: str
    corrected: float | None
    previous: str | None
    changed: bool
    compared: int
    left_out: tuple[str, ...]
    data_digest: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def comparable(runs: Sequence[Metrics], digest: str) -> tuple[list[Metrics], list[Metrics]]:
    """Splits `runs` into those tested on the data with `digest` and those tested on other data."""
    same = [metrics for metrics in runs if metrics.data_digest == digest]
    return same, [metrics for metrics in runs if metrics.data_digest != digest]


def current_digest(workspace: Workspace, runs: Sequence[Metrics]) -> str:
    """Returns the digest of the prepared data; if that is gone, the data digest of the run that finished last.

    Args:
        runs: the metrics of all runs, at least one.

    Raises:
        DataError: the prepared data's description is broken.
    """
    from tuning.dataset.store.description import DESCRIPTION, read_description

    if (workspace.split / DESCRIPTION).is_file():
        return read_description(workspace.split).digest
    return max(runs, key=lambda metrics: (metrics.finished, metrics.run_id)).data_digest


def promote(workspace: Workspace, dry_run: bool = False, progress: Progress = SILENT) -> Promotion:
    """Rebuilds the leaderboard and promotes the best run, under one lock.

    Model, card and metrics are written to temporary files before the first of them is put in place, so an error leaves
    the old ones. They are put in place in this order; a crash in between leaves a model and metrics whose digests
    disagree, which `promoted` refuses and the next `promote` repairs.

    The card is rewritten if the model changed, if the card is missing, or if its generated text changed. A card that a
    person has edited is kept as long as the model stays the same.

    Args:
        dry_run: only decide, write nothing.

    Raises:
        DataError: there is no run; none was tested on the current data; a run's metrics.json is invalid; or the best
            run's model is not the file that its metrics describe.
    """
    if dry_run:
        return _promote(workspace, read_runs(workspace), True, progress)
    with leaderboard.locked(workspace):
        runs = read_runs(workspace)
        leaderboard.write_under_lock(workspace, runs)
        return _promote(workspace, runs, False, progress)


def promoted(workspace: Workspace) -> Metrics:
    """Returns the metrics of the promoted model after checking that model and metrics belong together.

    Raises:
        DataError: nothing is promoted yet, or model and metrics do not belong together.
    """
    remedy = f"run: {PROMOTE}"
    if not workspace.best_model_metrics.is_file() and not workspace.best_model.is_file():
        raise DataError(
            f"no model is promoted yet: {workspace.best_model} does not exist",
            f"train something first: python -m tuning.search; if there are finished runs, {remedy}",
        )
    metrics = read_metrics(workspace.best_model_metrics, remedy)
    verify_model(workspace.best_model, metrics, remedy)
    return metrics


def origin_of(
    workspace: Workspace, best: Metrics, among: Sequence[Metrics], tested: Sequence[Metrics], rule: str, left_out: int
) -> Origin:
    """Returns the record of why `best` was chosen, with its score corrected for selection.

    Args:
        among: the runs that it was chosen from; their predictions give the corrected score.
        tested: all runs on the same data; they give the deviation between seeds.
        left_out: number of runs tested on other data.
    """
    from tuning.trials.metrics import rounded

    board = Board(workspace, tested)
    return Origin(
        origin=f"artifacts/trials/{best.run_id}",
        rule=rule,
        compared=len(among),
        left_out=left_out,
        corrected=board.chosen_score([one.run_id for one in among]),
        seed_deviation=rounded(board.noise.deviation) if board.noise else None,
    )


def _promote(workspace: Workspace, runs: list[Metrics], dry_run: bool, progress: Progress) -> Promotion:
    if not runs:
        raise leaderboard.empty(workspace)
    digest = current_digest(workspace, runs)
    candidates, others = comparable(runs, digest)
    metrics = best_run(candidates)
    if metrics is None:
        raise DataError(
            f"none of the {len(runs)} runs was tested on the current data (digest {digest[:12]}): their figures say "
            "nothing about it",
            "train on the current data: python -m tuning.search, or python -m tuning.train",
        )
    if others:
        progress.warn(
            f"{len(others)} of {len(runs)} runs were tested on other data than the current (digest {digest[:12]}): "
            f"not comparable, left out: {listed([other.run_id for other in others], _NAMED)}"
        )
    run_id = metrics.run_id
    source = workspace.run(run_id) / "model.keras"
    verify_model(source, metrics, f"restore that run's folder or move it out of artifacts/trials, then run: {PROMOTE}")
    origin = origin_of(workspace, metrics, candidates, candidates, RULE, len(others))
    content = msgspec.structs.replace(metrics, promoted=origin)
    previous = _previous(workspace)
    changed = previous != content
    if not dry_run:
        _write(workspace, source, content, changed)
    return Promotion(
        run_id=run_id,
        test_f1_macro=metrics.test.f1_macro,
        base=base_words(metrics.base),
        corrected=origin.corrected,
        previous=previous.run_id if previous else None,
        changed=changed,
        compared=len(candidates),
        left_out=tuple(other.run_id for other in others),
        data_digest=digest,
    )


def _write(workspace: Workspace, source: Path, content: Metrics, changed: bool) -> None:
    """Writes model and metrics into artifacts/models if `changed`, and the card if its text has to change."""
    card = workspace.models / model_card.CARD
    workspace.models.mkdir(parents=True, exist_ok=True)
    # The context entered last exits first: the model is put in place first, then the card, then the metrics.
    with contextlib.ExitStack() as stack:
        if changed:
            metrics = stack.enter_context(files.replacing(workspace.best_model_metrics))
            metrics.write_bytes(files.readable_json(msgspec.to_builtins(content)).encode())
        if (text := _card(workspace, source, content)) is not None:
            stack.enter_context(files.replacing(card)).write_bytes(text.encode())
        if changed:
            shutil.copyfile(source, stack.enter_context(files.replacing(workspace.best_model)))


def _card(workspace: Workspace, source: Path, metrics: Metrics) -> str | None:
    """Returns the new text of the promoted model's card; None if the existing card is kept.

    A card of the same model is kept if a person has edited it, if its text would not change, or if the workspace no
    longer holds the data that it describes.
    """
    card = workspace.models / model_card.CARD
    found = card.read_bytes().decode(errors="replace") if card.is_file() else ""
    of_another = metrics.model_sha256 not in found
    if not of_another and not (model_card.is_untouched(found) and model_card.has_data(workspace, metrics)):
        return None
    made = model_card.model_card(
        workspace, metrics, workspace.best_model.name, saved_by=model_card.keras_version(source)
    )
    text = model_card.signed(made)
    return None if text == found else text


def _previous(workspace: Workspace) -> Metrics | None:
    """Returns the metrics of the promoted model; None if there is none, or model and metrics do not belong together."""
    try:
        return promoted(workspace)
    except TuningError:
        return None
