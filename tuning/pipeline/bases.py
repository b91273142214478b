"""Finds the model of `--base`, inspects it in a separate process, copies it once, and compares it with the data.

Its record is kept beside the copy, so that a search can resume when the original is gone.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tuning.core import files
from tuning.core.acceptance import OVERLAP, accepts_overlap
from tuning.core.errors import DataError, EnvironmentProblem, StateError, UsageError
from tuning.core.jobs import BaseModel
from tuning.core.progress import Progress
from tuning.core.settings import RunSettings
from tuning.core.workspace import Workspace
from tuning.dataset import seen
from tuning.dataset.seen import Seen
from tuning.dataset.sources.aliases import EMOTIONS
from tuning.dataset.store.arrays import read_info
from tuning.results import lineage
from tuning.results.schema import BaseRecord
from tuning.trials import runtime
from tuning.trials.applications import APPLICATIONS
from tuning.trials.inspect_base import Inspected, Refusal, Request

#: Time limit for inspecting a model, in seconds.
_SECONDS = 600
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODELS = ("model.keras", "best_model.keras")


@dataclass(frozen=True)
class Found:
    """A base that was found; nothing is written yet.

    Attributes:
        sha256: of the file.
        source: the file; None if only the workspace's copy exists.
    """

    sha256: str
    source: Path | None


def find(workspace: Workspace, given: str) -> Found:
    """Finds the model that `--base` names: a file, the folder of an export or a run, the sha256 of a base used before,
    or a path that named such a base and no longer exists.

    Raises:
        UsageError: it names no model.
    """
    if _SHA256.fullmatch(given) and lineage.copy_of(workspace, given).is_file():
        return Found(given, None)
    path = Path(given).expanduser()
    if path.is_dir():
        path = next((path / name for name in _MODELS if (path / name).is_file()), path)
    if path.is_file():
        return Found(files.sha256_file(path), path)
    known = [record.sha256 for record in lineage.records(workspace) if given in record.given]
    if known:
        return Found(known[-1], None)
    if path.is_dir():
        raise UsageError(
            f"--base {given} holds no {' or '.join(_MODELS)}",
            "give a .keras file, or a folder that export has written with --format keras",
        )
    raise UsageError(
        f"--base is {given!r}: there is no such file or folder, nor a Keras Application of that name",
        f"give a .keras file, a folder written by python -m tuning.export, or one of {', '.join(APPLICATIONS)}",
    )


def named(
    workspace: Workspace, settings: Mapping[str, Any], weights: str | None, backend: str, progress: Progress
) -> dict[str, Any]:
    """Returns the given settings; a `base` that names a Keras Application is replaced by the sha256 of its copy.

    Raises:
        UsageError: weights are given without a Keras Application.
    """
    given = settings.get("base")
    if given in APPLICATIONS and not Path(given).exists():
        workspace.require()
        return {**settings, "base": build_application(workspace, given, weights, backend, progress)}
    if weights is not None:
        raise UsageError(
            f"--base-weights is given, but --base is {given!r}",
            f"give one of {', '.join(APPLICATIONS)}, or leave it out",
        )
    return dict(settings)


def build_application(workspace: Workspace, name: str, weights: str | None, backend: str, progress: Progress) -> str:
    """Returns the sha256 of a Keras Application's copy in the workspace, after building it if there is none yet.

    Raises:
        UsageError, EnvironmentProblem: its weights are missing, or belong to another model.
    """
    if weights is not None and not Path(weights).expanduser().is_file():
        raise UsageError(f"--base-weights is {weights!r}: there is no such file", "give the file of weights")
    source = None if weights is None else Path(weights).expanduser().resolve()
    given = name if source is None else f"{name}:{files.sha256_file(source)}"
    for record in lineage.records(workspace):
        if given in record.given and lineage.copy_of(workspace, record.sha256).is_file():
            return record.sha256
    progress.say(f"base: building {name} with {'ImageNet' if source is None else source.name} weights")
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / f"{name}.keras"
        weights = None if source is None else str(source)
        found = _inspected(Request(model=str(built), scaling="0-255", application=name, weights=weights), backend)
        digest = files.sha256_file(built)
        record = _record(digest, given, name, found, None)
        record = msgspec.structs.replace(record, trained_on="ImageNet" if source is None else None)
        workspace.create().bases.mkdir(exist_ok=True)
        _keep(workspace, record, built, None)
    return digest


def adopt(
    workspace: Workspace,
    settings: RunSettings,
    given: str | None,
    licence: str | None,
    memory: int | None,
    progress: Progress,
) -> BaseModel | None:
    """Copies the base of a search or training into the workspace, and returns it for the workers; None without a base.

    Args:
        settings: complete.
        given: the value of `--base`.
        licence: the value of `--base-license`.
        memory: bytes that opening the base may take.

    Raises:
        UsageError: no training can start from it; or a licence is given without a base.
        StateError: the original is gone, and so is the copy or its record; or the copy is damaged.
    """
    digest = settings.base
    if digest is None:
        if licence is not None:
            raise UsageError(
                f"--base-license is {licence!r}, but no --base is given", "give --base MODEL, or leave it out"
            )
        return None
    copy = lineage.copy_of(workspace, digest)
    record = lineage.record_of(workspace, digest)
    if record is None or not copy.is_file():
        source = find(workspace, given or digest).source
        if source is None:
            gone = lineage.record_path(workspace, digest) if copy.is_file() else copy
            raise StateError(f"{gone} is gone", f"give --base with the file again; its sha256 is {digest[:12]}…")
        about = lineage.describe(source, digest)
        scaling, member = (about.scaling, about.member) if about else (None, None)
        progress.say(f"base: looking at {source}")
        request = Request(model=str(source.resolve()), scaling=scaling, member=member, memory=memory)
        found = _inspected(request, settings.backend)
        record = _record(digest, given or digest, about.name if about else source.name, found, about)
        workspace.create().bases.mkdir(exist_ok=True)
        _keep(workspace, record, source, lineage.seen_by(source, digest))
    if files.sha256_file(copy) != digest:
        raise StateError(f"{copy} is damaged: its sha256 is another", "remove it, and give --base with the file again")
    names = record.given if given is None or given in record.given else [*record.given, given]
    updated = _learned(workspace, record, given or digest)
    updated = msgspec.structs.replace(updated, given=names, licence=licence or updated.licence)
    if updated != record:
        record = updated
        files.write_json(lineage.record_path(workspace, digest), msgspec.to_builtins(record))
    progress.say(lineage.words(record, settings.base_overlap))
    now = overlap_of(workspace, given or digest, digest, settings.data_digest)
    if settings.base_overlap is None and now:
        progress.warn(
            f"it is known now that the base has seen {now:,} images of the validation and test split. What began "
            "before that continues as not checked, with scores that are too high: start over with --fresh"
        )
    outputs = None
    if record.classes is not None:
        classes = read_info(workspace).classes
        outputs = same_classes(record.classes, classes)
        known = [name for name, output in zip(classes, outputs or (), strict=False) if output is not None]
        if known:
            progress.say(f"base: begins with what it knows of {', '.join(known)}")
    return BaseModel(model=str(copy.resolve()), scaling=record.scaling, member=record.member, outputs=outputs)


def same_classes(known: Sequence[str], wanted: Sequence[str]) -> list[int | None] | None:
    """Returns, for each class of `wanted`, the position in `known` of the class of that name, or of another name of the
    same emotion; None if these are fewer than two, or fewer than half. Pure."""
    positions = {EMOTIONS.get(name, name): position for position, name in enumerate(known)}
    found = [positions.get(EMOTIONS.get(name, name)) for name in wanted]
    count = sum(position is not None for position in found)
    return found if count >= max(2, len(wanted) / 2) else None


def overlap_of(workspace: Workspace, given: str, digest: str, data_digest: str) -> int | None:
    """Counts the validation and test images that the base has seen; None if its training images are unknown."""
    found = _overlap(str(workspace.root), given, digest, data_digest)
    return None if found is None else found.images


@functools.lru_cache(maxsize=4)
def _overlap(root: str, given: str, digest: str, data_digest: str) -> seen.Overlap | None:
    workspace = Workspace(Path(root))
    known = _seen(workspace, given, digest)
    if known is None:
        return None
    found = seen.overlap(workspace, known)
    return found if found.images or known.complete else None


def _seen(workspace: Workspace, given: str, digest: str) -> Seen | None:
    if lineage.record_of(workspace, digest) is not None:
        kept = seen.read(lineage.seen_path(workspace, digest))
        if kept is not None:
            return kept
    source = find(workspace, given).source
    return None if source is None else lineage.seen_by(source, digest)


def check_overlap(
    workspace: Workspace, settings: RunSettings, given: str | None, accept: str | None, new: bool
) -> None:
    """Refuses a base that has seen images of the validation or test split, unless the user accepts that.

    Args:
        accept: the value of `--accept`.
        new: whether the search or training begins now; one that resumes was accepted when it began.

    Raises:
        DataError: there are such images; the message counts them and names some, a file lists all.
    """
    if settings.base is None or not settings.base_overlap or accepts_overlap(accept) or not new:
        return
    found = _overlap(str(workspace.root), given or settings.base, settings.base, settings.data_digest)
    assert found is not None
    some = ", ".join(found.files[:3])
    # Written even if the message names all images, to replace the list of an earlier base.
    files.write_text(workspace.base_overlap, "".join(f"{name}\n" for name in found.files))
    if len(found.files) > 3:
        some += f", …, all of them in {workspace.base_overlap}"
    raise DataError(
        f"the base has seen {found.images} images of the validation and test split ({found.exact} as they are, "
        f"{found.mirrored} mirrored, {found.near} at another size, quality or brightness): {some}",
        "remove them from the raw folder and run python -m tuning.prepare --accept-removed; or give --accept "
        f"{OVERLAP}, which is shown with every figure",
    )


def _record(digest: str, given: str, name: str, found: Inspected, about: lineage.About | None) -> BaseRecord:
    return BaseRecord(
        sha256=digest,
        given=[given],
        name=name,
        scaling=found.scaling,
        member=about.member if about else None,
        input=found.input,
        features=list(found.features),
        parameters=found.parameters,
        classes=about.classes if about and len(about.classes) == found.classes else None,
        trained_on=about.trained_on if about else None,
        licence=about.licence if about else None,
    )


def _learned(workspace: Workspace, record: BaseRecord, given: str) -> BaseRecord:
    """Completes a base's record from the files beside the given model: it may have been given without them before.

    Scaling, member and classes stay as they are: earlier trainings used them.
    """
    path = lineage.seen_path(workspace, record.sha256)
    source = None if path.is_file() else find(workspace, given).source
    if source is None:
        return record
    if (known := lineage.seen_by(source, record.sha256)) is not None:
        seen.write(path, known, [record.sha256])
        # This process may have cached the overlap without these files.
        _overlap.cache_clear()
    about = lineage.describe(source, record.sha256)
    if about is None or record.trained_on is not None:
        return record
    return msgspec.structs.replace(
        record, name=about.name, trained_on=about.trained_on, licence=record.licence or about.licence
    )


def _keep(workspace: Workspace, record: BaseRecord, source: Path, known: Seen | None) -> None:
    """Copies a base and the signatures of its training images; its record, written last, marks the copy as complete."""
    with files.replacing(lineage.copy_of(workspace, record.sha256)) as temporary:
        shutil.copyfile(source, temporary)
    if known is not None:
        seen.write(lineage.seen_path(workspace, record.sha256), known, [record.sha256])
    files.write_json(lineage.record_path(workspace, record.sha256), msgspec.to_builtins(record))


def _inspected(request: Request, backend: str) -> Inspected:
    """Inspects a model in a separate process.

    Raises:
        UsageError: the model is refused, or the process ends without a result or takes too long.
        EnvironmentProblem: a Keras Application cannot be built with its ImageNet weights.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tuning.trials.inspect_base", msgspec.json.encode(request).decode()],
            env={
                **os.environ,
                **runtime.environment(backend, 1),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"opening the base took more than {_SECONDS} s", "take a smaller one") from None
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        found = msgspec.json.decode(last, type=Inspected | Refusal)
    except msgspec.DecodeError:
        lines = done.stderr.strip().splitlines()
        raise UsageError(
            f"the process that opened the base ended with {done.returncode}: {lines[-1] if lines else 'no message'}",
            "take another model, or a smaller one; for a search, --max-memory says how much memory it may take",
        ) from None
    if isinstance(found, Refusal):
        kind = EnvironmentProblem if request.application and request.weights is None else UsageError
        raise kind(found.problem, found.remedy)
    return found
