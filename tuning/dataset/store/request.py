"""The request of a run of `prepare`, recorded to find out whether a later run asks for the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tuning.core.workspace import Workspace
from tuning.dataset.settings import PoolSettings, Settings
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.store.description import DECODER_VERSION, Color

SCHEMA = 1


class Request(PoolSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a run of `prepare`, and the state of the output files that it wrote.

    Attributes:
        schema, decoder: versions of this record and of the decoder.
        raws: the raw paths, see `raw_key`.
        image_size, color, ratios, seed: as in `Settings`.
        outputs: name of each file in `artifacts/outputs/` -> (size, mtime in ns); None if it does not exist.
    """

    schema: int
    decoder: int
    raws: tuple[str, ...]
    image_size: int
    color: Color
    ratios: tuple[float, float, float]
    seed: int
    outputs: dict[str, tuple[int, int] | None]


def present_request(workspace: Workspace, raws: Sequence[Path], settings: Settings, by: GroupBy | None) -> Request:
    """Returns the request with the present state of the outputs; a run records it after writing them."""
    outputs = (
        workspace.class_names,
        workspace.pool_manifest,
        workspace.pool_report,
        workspace.pool_summary,
        workspace.split_manifest,
    )
    return Request(
        **msgspec.structs.asdict(PoolSettings.of(settings, by)),
        schema=SCHEMA,
        decoder=DECODER_VERSION,
        raws=tuple(raw_key(workspace, raw) for raw in raws),
        image_size=settings.image_size,
        color=settings.color,
        ratios=settings.ratios,
        seed=settings.seed,
        outputs={path.name: _size_and_time(path) for path in outputs},
    )


def raw_key(workspace: Workspace, raw: Path) -> str:
    """Returns a raw path as recorded: relative if it lies in the workspace, so that the workspace can be moved."""
    real, root = raw.resolve(), workspace.root.resolve()
    return real.relative_to(root).as_posix() if real.is_relative_to(root) else str(real)


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns
