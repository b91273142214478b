"""Checks whether a workspace is consistent, and repairs what can be derived from its runs."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tuning.core import files, machine
from tuning.core import settings as config
from tuning.core.errors import RESTORE, DataError, TuningError
from tuning.core.findings import FAULT, NOTE, OK, Finding
from tuning.core.workspace import Workspace
from tuning.history import searches, source
from tuning.results import leaderboard, promotion
from tuning.results.runs import RUN_FILES, read_run, run_folders, runs_of, verify_model

REPAIR = "run: python -m tuning.doctor --repair"
PREPARE = "run: python -m tuning.prepare"


def check(workspace: Workspace) -> list[Finding]:
    """Checks everything in a workspace without changing it; later checks run even if an earlier one finds a fault.

    Commands in remedies name this workspace, so that they work in any directory, and the images that it was prepared
    from.
    """
    if workspace.root.exists() and not workspace.root.is_dir():
        return [Finding("workspace", FAULT, f"{workspace.root} exists and is not a folder", "give another --root")]
    if not workspace.root.is_dir():
        return [Finding("workspace", NOTE, f"{workspace.root} does not exist yet")]
    findings: list[Finding] = []
    for subject, look in (
        ("folders", _folders),
        ("interrupted writes", _interrupted_writes),
        ("data", _data),
        ("runs", _runs),
        ("leaderboard", _leaderboard),
        ("promoted model", _promoted),
        ("searches", _searches),
    ):
        try:
            findings += look(workspace)
        except TuningError as error:
            findings.append(Finding(subject, FAULT, error.problem, error.remedy))
        except OSError as error:
            detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            findings.append(Finding(subject, FAULT, detail, "check that path and the disk it is on"))
    return [replace(finding, remedy=_completed(finding.remedy, workspace)) for finding in findings]


def _completed(remedy: str, workspace: Workspace) -> str:
    """Completes the commands in a remedy with the workspace, and with the raw images if a command needs them."""
    if PREPARE in remedy and not workspace.raw.exists():
        raw = _prepared_from(workspace)
        options = " ".join(f"--raw {shlex.quote(path)}" for path in raw)
        whence = f" {options}, with the other options of that time" if raw else " --raw and the folder of the images"
        remedy = remedy.replace(PREPARE, PREPARE + whence)
    return workspace.addressed(remedy)


def _prepared_from(workspace: Workspace) -> list[str]:
    """Returns the folders and archives that the pool was made from; empty if the manifest does not tell."""
    with contextlib.suppress(DataError, LookupError, TypeError):
        manifest = files.read_json(workspace.pool_manifest, "")
        return list(dict.fromkeys(str(entry["raw"]) for entry in manifest["source"]))
    return []


def repair(workspace: Workspace) -> list[str]:
    """Removes the leftovers of interrupted writes, and derives leaderboard and promoted model from the runs.

    Never changes a file that a running process is writing, nor a run, a manifest or a journal. If a run is invalid,
    nothing is derived, and `check` names that run.

    Returns:
        one phrase for each thing that was done.
    """
    done = []
    for leftover in _abandoned(workspace):
        restored = files.put_back(leftover)
        done.append(f"put {restored} back in its place" if restored else f"removed {leftover}")
    if not run_folders(workspace) and not workspace.leaderboard.is_file():
        return done
    with contextlib.suppress(DataError):
        if leaderboard.verify(workspace):
            runs = leaderboard.rebuild(workspace)
            done.append(f"wrote {workspace.leaderboard} from {len(runs)} runs")
        outcome = promotion.promote(workspace)
        if outcome.changed:
            done.append(f"promoted {outcome.run_id}")
    return done


def _folders(workspace: Workspace) -> Iterator[Finding]:
    for folder in (workspace.root, workspace.data, workspace.art):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            yield Finding(
                "folders", FAULT, f"cannot write in {folder}", "change its permissions, or use another --root"
            )


def _interrupted_writes(workspace: Workspace) -> Iterator[Finding]:
    for path in _abandoned(workspace):
        yield Finding("interrupted writes", FAULT, f"{path} was left by an interrupted write", REPAIR)


def _abandoned(workspace: Workspace) -> list[Path]:
    """Returns the leftovers of interrupted writes that no process is still writing to."""
    running = [folder for folder in searches.folders(workspace) if _in_use(folder)]
    return [
        path
        for folder in (workspace.data, workspace.art)
        for path in files.leftovers(folder)
        if not _writer_is_running(path) and not any(search in path.parents for search in running)
    ]


def _writer_is_running(leftover: Path) -> bool:
    """Whether the process whose ID is in the leftover's name is running; False on Windows."""
    number = leftover.name.split("-", 2)[1]
    return number.isdigit() and os.name != "nt" and machine.is_running(int(number))


def _data(workspace: Workspace) -> Iterator[Finding]:
    from tuning.dataset.store import arrays, description, file_state, manifests

    split = manifests.read_split_manifest(workspace.split_manifest)
    if split is None and not (workspace.split / description.DESCRIPTION).exists():
        yield Finding("data", NOTE, "nothing is prepared yet")
        return
    info = arrays.open_dataset(workspace).info
    for path in (workspace.pool_manifest, workspace.pool_summary):
        files.read_json(path, PREPARE)
    names = files.read_json(workspace.class_names, PREPARE)
    if names != list(info.classes):
        raise DataError(f"{workspace.class_names} lists other classes than the arrays: {names}", PREPARE)
    for name, expected in description.read_description(workspace.split).sha256.items():
        path = workspace.split / name
        if files.sha256_file(path) != expected:
            raise DataError(f"{path} is damaged: its sha256 is not the one recorded when it was written", PREPARE)
    file_state.verify_data(workspace, look_only=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in info.counts.items())
    yield Finding("data", OK, f"{len(info.classes)} classes; {counts}; digest {info.digest[:12]}")


def _runs(workspace: Workspace) -> Iterator[Finding]:
    faults = 0
    folders = run_folders(workspace)
    for folder in folders:
        try:
            metrics = read_run(folder)
            missing = [name for name in RUN_FILES if not (folder / name).is_file()]
            if missing:
                raise DataError(
                    f"{folder} lacks {', '.join(missing)}", "restore them from a copy, or train that run again"
                )
            verify_model(folder / "model.keras", metrics, "restore it from a copy, or train that run again")
        except TuningError as error:
            faults += 1
            yield Finding("runs", FAULT, error.problem, error.remedy)
    lacking = [folder.name for folder in folders if not workspace.predictions(folder.name).is_file()]
    if lacking:
        yield Finding(
            "predictions",
            NOTE,
            f"{len(lacking)} of {len(folders)} runs lack {workspace.predictions(lacking[0])} or its like: ties, "
            "calibration and worst mistakes are not shown",
            "restore that folder from a copy; only another training makes them anew, and nothing else needs them",
        )
    if not folders:
        yield Finding("runs", NOTE, "no finished run yet")
    elif not faults:
        yield Finding("runs", OK, f"{len(folders)} runs, each whole, each model the one its metrics describe")


def _leaderboard(workspace: Workspace) -> Iterator[Finding]:
    if not workspace.leaderboard.is_file() and not run_folders(workspace):
        return
    differences = leaderboard.verify(workspace)
    for difference in differences:
        yield Finding("leaderboard", FAULT, difference, REPAIR)
    if not differences:
        yield Finding("leaderboard", OK, "exactly what the runs' own files say")


def _promoted(workspace: Workspace) -> Iterator[Finding]:
    present = workspace.best_model.exists() or workspace.best_model_metrics.exists()
    if not run_folders(workspace):
        if present:
            promotion.promoted(workspace)
            yield Finding("promoted model", NOTE, "sound, but the run it comes from is gone")
        return
    try:
        outcome = promotion.promote(workspace, dry_run=True)
    except DataError as error:
        if present:
            promotion.promoted(workspace)
        yield Finding("promoted model", NOTE, error.problem)
        return
    if not outcome.changed:
        yield Finding("promoted model", OK, f"{outcome.run_id}, the best of {outcome.compared} comparable runs")
        return
    yield Finding("promoted model", FAULT, f"{_promotion_fault(workspace)}; the best run is {outcome.run_id}", REPAIR)


def _promotion_fault(workspace: Workspace) -> str:
    """Explains why the promoted model is not the one that the rule would promote."""
    try:
        return f"{promotion.promoted(workspace).run_id} is promoted by an older comparison"
    except TuningError as error:
        return error.problem


def _searches(workspace: Workspace) -> Iterator[Finding]:
    for folder in searches.folders(workspace):
        subject = f"search {folder.name}"
        try:
            yield Finding(subject, *_search(workspace, folder))
        except TuningError as error:
            yield Finding(subject, FAULT, error.problem, error.remedy)


def _search(workspace: Workspace, folder: Path) -> tuple[str, str]:
    """Returns the state and the detail of a search's finding.

    Raises:
        TuningError: the settings or the journal are damaged, or the journal lacks trials of published runs.
    """
    config.read_settings(folder)
    found = source.check(folder)
    if not found.trials and (runs := runs_of(workspace, folder.name)):
        raise DataError(f"{folder / source.JOURNAL} knows of no trial, but there is {runs[0]}", RESTORE)
    detail = f"{found.trials} trials proposed, {found.done} of {found.jobs} jobs done"
    if _in_use(folder):
        return NOTE, f"{detail}; running"
    if found.torn:
        return NOTE, f"{detail}; interrupted in the middle of a line, which the next run drops"
    return OK, detail


def _in_use(folder: Path) -> bool:
    """Whether a process holds the search's lock."""
    from filelock import FileLock, Timeout

    path = folder / "journal.lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        # The user has no write permission, so none of the user's processes writes there.
        return False
