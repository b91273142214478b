"""The origin of a model: its metrics and base, and which images it, its members and its base have seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tuning.core.errors import DataError
from tuning.core.files import read_json
from tuning.core.workspace import Workspace
from tuning.dataset import seen
from tuning.dataset.seen import Seen
from tuning.results.schema import BaseRecord, Metrics, UsedBase, decoded, overlap_words, read_metrics

SIGNATURES = "signatures.npz"
_REMEDY = "restore that folder from a copy, or give the .keras file alone, in another folder"
_RECORD_REMEDY = "remove that file, and give --base with the model's file again"


@dataclass(frozen=True)
class About:
    """Facts about a model of this package, from the metrics beside its file.

    Attributes:
        name: the run's id.
        scaling: the pixel scaling that it expects, a key of `schema.SCALINGS`.
        member: for an ensemble, the member that is best on validation, from 1.
        classes: the classes of its outputs, in order.
        trained_on: its training data, in words.
        licence: licence of its own base; None without a base, or if unknown.
    """

    name: str
    scaling: Literal["0-1", "0-255"]
    member: int | None
    classes: list[str]
    trained_on: str
    licence: str | None


def copy_of(workspace: Workspace, sha256: str) -> Path:
    return workspace.bases / f"{sha256}.keras"


def record_path(workspace: Workspace, sha256: str) -> Path:
    return workspace.bases / f"{sha256}.json"


def seen_path(workspace: Workspace, sha256: str) -> Path:
    """Returns the path of the signatures of the images that the base has seen; the file is missing if unknown."""
    return workspace.bases / f"{sha256}.npz"


def record_of(workspace: Workspace, sha256: str) -> BaseRecord | None:
    """Returns the record of the workspace's base with this sha256; None if there is no such base.

    Raises:
        DataError: the record is damaged.
    """
    path = record_path(workspace, sha256)
    return decoded(read_json(path, _RECORD_REMEDY), BaseRecord, path, _RECORD_REMEDY) if path.is_file() else None


def records(workspace: Workspace) -> list[BaseRecord]:
    """Returns the records of all bases of the workspace, the least recently written first."""
    paths = sorted(workspace.bases.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [found for path in paths if (found := record_of(workspace, path.stem)) is not None]


def used(workspace: Workspace, sha256: str | None, overlap: int | None) -> UsedBase | None:
    """Returns the entry for metrics.json about the base that a run started from; None without a known base."""
    record = None if sha256 is None else record_of(workspace, sha256)
    if record is None:
        return None
    return UsedBase(
        name=record.name, sha256=record.sha256, trained_on=record.trained_on, licence=record.licence, overlap=overlap
    )


def words(record: BaseRecord, overlap: int | None) -> str:
    """Describes a base in one line for people."""
    height, width, channels = record.input
    size = f"{height} × {width}" if height and width else "any size"
    color = {1: "gray", 3: "rgb"}[channels]
    features = " × ".join("any" if length is None else str(length) for length in record.features)
    return (
        f"base: {record.name} (sha256 {record.sha256[:12]}…), {record.parameters:,} parameters, from {size} {color} "
        f"pixels {record.scaling} to {features} features; trained on {record.trained_on or 'something unknown'}; "
        f"validation and test images that it has seen: {overlap_words(overlap)}"
    )


def describe(model: Path, sha256: str) -> About | None:
    """Returns facts about a model from the metrics beside it: in a run's or an export's folder, or in artifacts/models.

    None if no metrics there describe a file with this sha256.
    """
    metrics = _metrics_of(model, sha256)
    if metrics is None:
        return None
    before = f", after {metrics.base.name}" if metrics.base else ""
    return About(
        name=metrics.run_id,
        scaling=metrics.input.scaling,
        member=(metrics.best_member or 1) if metrics.kind == "ensemble" else None,
        classes=list(metrics.classes),
        trained_on=f"data {metrics.data_digest[:12]} in the classes {', '.join(metrics.classes)}{before}",
        licence=metrics.base.licence if metrics.base else None,
    )


def seen_by(model: Path, sha256: str) -> Seen | None:
    """Returns the signatures of the images that the model in this file has seen; None if unknown."""
    if (known := seen.read(model.parent / SIGNATURES, sha256)) is not None:
        return known
    metrics = _metrics_of(model, sha256)
    for root in model.resolve().parents[2:4] if metrics else ():
        if metrics and (known := seen_of(Workspace(root), metrics)) is not None:
            return known
    return None


def seen_of(workspace: Workspace, metrics: Metrics) -> Seen | None:
    """Returns the signatures of the images that a run of this workspace and its base have seen; None if unknown."""
    own = seen.read(workspace.signatures(metrics.data_digest))
    if own is None or metrics.base is None:
        return own
    before = seen.read(seen_path(workspace, metrics.base.sha256))
    return Seen(own.signatures, own.rough, complete=False) if before is None else own | before


def keep(workspace: Workspace) -> None:
    """Stores the signatures of the prepared split, once, because a model trained on it may become a base later."""
    from tuning.dataset.store.arrays import read_info

    path = workspace.signatures(read_info(workspace).digest)
    if not path.is_file():
        seen.write(path, seen.seen_here(workspace))


def _metrics_of(model: Path, sha256: str) -> Metrics | None:
    for name in ("metrics.json", f"{model.stem}_metrics.json"):
        path = model.parent / name
        if path.is_file():
            try:
                metrics = read_metrics(path, _REMEDY)
            except DataError:
                continue
            if metrics.model_sha256 == sha256:
                return metrics
    return None
