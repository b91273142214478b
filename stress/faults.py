"""A search with toy work, and a fault at each of its file operations: SIGKILL, a full disk, an I/O error, a read-only
file system.

After each fault, every file must have some content that it also has in the undisturbed search, the error must name a
path, and the same command must then end with the same leaderboard, runs and promoted model.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stress import toy
from tuning.core import files
from tuning.core.workspace import Workspace
from tuning.dataset.store import description, packing
from tuning.dataset.store.manifests import Place, SplitManifest, write_split_manifest
from tuning.engine import journal
from tuning.engine.audit import audit

NAME = "toy"
SPACE = "stress.tiny_cnn:build_model"
CRASH = "crash"
#: Error -> whether all later operations fail too: a full or read-only disk stays so, an I/O error may be the only one.
ERRORS = {"ENOSPC": True, "EROFS": True, "EIO": False}
FAULTS = (CRASH, *ERRORS)
#: Operations whose system calls do not name the path in their errors.
_NAMELESS = ("write", "fsync", "append", "truncate")
#: Files that differ from run to run: the journal and the report contain seconds, others the process that holds a lock.
_VOLATILE = ("journal.jsonl", "journal.lock", "journal.owner", ".leaderboard.lock", "report.html")

Hook = Callable[[str, Path], None]


@dataclass
class Undisturbed:
    """The course of a scenario without a fault.

    Attributes:
        operations: name and path of each file operation, in order.
        versions: path -> digests of all contents that the file had at any time.
        end: path -> digest at the end, of the files that a fault must not change.
    """

    operations: list[str] = field(default_factory=list)
    versions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    end: dict[str, str] = field(default_factory=dict)


def main(
    folder: Path, kill_every: int = 1, error_every: int = 1, scenarios: tuple[str, ...] = ("search", "fresh")
) -> dict[str, Any]:
    """Cause every fault at the operations of each scenario: at each `kill_every`-th or `error_every`-th of them.

    The scenario "search" starts in a prepared workspace, "fresh" repeats a search with `--fresh`.
    """
    problems: list[str] = []
    cases = Counter[str]()
    _load(folder / "warm")
    operations: dict[str, int] = {}
    for scenario in scenarios:
        start = folder / scenario / "start"
        _prepare(start)
        if scenario == "fresh":
            _must_end(_child(lambda start=start: _search(start, seed=1)))
        undisturbed = _undisturbed(start, folder / scenario / "undisturbed", scenario)
        operations[scenario] = len(undisturbed.operations)
        for fault in FAULTS:
            for n in range(0, len(undisturbed.operations), kill_every if fault == CRASH else error_every):
                root = folder / scenario / "case"
                where = f"{scenario}: {fault} at operation {n} ({undisturbed.operations[n]})"
                problems += [f"{where}: {problem}" for problem in _case(start, root, scenario, fault, n, undisturbed)]
                shutil.rmtree(root)
                cases[fault] += 1
    return {"passed": not problems, "operations": operations, "cases": dict(cases), "problems": problems}


def _case(start: Path, root: Path, scenario: str, fault: str, n: int, undisturbed: Undisturbed) -> Iterator[str]:
    """Cause `fault` at operation `n`, then run the same command again; yield each problem."""
    shutil.copytree(start, root)
    end = _child(lambda: _run(scenario, root), _failing(fault, n))
    if fault == CRASH:
        if end != {"signal": signal.SIGKILL}:
            yield f"ended with {end}"
    elif end.get("errno") != getattr(errno, fault):
        yield f"ended with {end}"
    elif not str(end["filename"]).startswith(str(root)):
        yield f"the error names {end['filename']}"
    yield from _halves(root, undisturbed)
    again = _child(lambda: _run(scenario, root))
    if again:
        yield f"the same command again ended with {again}"
    elif (found := _end(root)) != undisturbed.end:
        differing = sorted(
            name for name in found.keys() | undisturbed.end if found.get(name) != undisturbed.end.get(name)
        )
        yield f"the same command again ended elsewhere: {', '.join(differing[:5])}"
    else:
        yield from audit(journal.read(_journal(root)), ended=True)
    if left := _child(lambda: _repair(root)):
        yield f"repair ended with {left}"


def _halves(root: Path, undisturbed: Undisturbed) -> Iterator[str]:
    """Yield a problem for each file with content that it never has in an undisturbed search, or a damaged journal."""
    for name, digest in _digests(root).items():
        if digest not in undisturbed.versions.get(name, ()):
            yield f"{name} holds what it should never hold"
    if _journal(root).exists() and (damage := journal.parse(_journal(root).read_bytes()).damage):
        yield f"the journal is damaged: {damage}"


def _undisturbed(start: Path, root: Path, scenario: str) -> Undisturbed:
    shutil.copytree(start, root)
    log = root.with_name("operations.jsonl")

    def noting(operation: str, path: Path) -> None:
        with log.open("a") as file:
            file.write(json.dumps([f"{operation} {path.relative_to(root)}", _digests(root)]) + "\n")

    _must_end(_child(lambda: _run(scenario, root), noting))
    result = Undisturbed(end=_end(root))
    for line in [*log.read_text().splitlines(), json.dumps(["", _digests(root)])]:
        operation, digests = json.loads(line)
        result.operations += [operation] if operation else []
        for name, digest in digests.items():
            result.versions[name].add(digest)
    return result


def _digests(root: Path) -> dict[str, str]:
    """Return path -> sha256 of each file, except temporary and retired ones and those that differ from run to run."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _aside(name)]
        for name in names:
            if name not in _VOLATILE and not _aside(name):
                path = Path(folder, name)
                # `--fresh` moves the old search aside, after a fault perhaps a second time.
                found[path.relative_to(root).as_posix().replace("~2", "~1")] = hashlib.sha256(
                    path.read_bytes()
                ).hexdigest()
    return found


def _aside(name: str) -> bool:
    return name.startswith((files.TEMPORARY_MARK, files.RETIRED_MARK))


def _end(root: Path) -> dict[str, str]:
    """Return the digests that must be equal at the end: of all files outside the folders of searches."""
    return {name: digest for name, digest in _digests(root).items() if not name.startswith("artifacts/searches/")}


def _journal(root: Path) -> Path:
    return Workspace(root).search(NAME) / "journal.jsonl"


def _failing(fault: str, n: int) -> Hook:
    count = -1

    def fail(operation: str, path: Path) -> None:
        nonlocal count
        count += 1
        if fault == CRASH:
            if count == n:
                os.kill(os.getpid(), signal.SIGKILL)
        elif count == n or (count > n and ERRORS[fault]):
            number = getattr(errno, fault)
            names = () if operation in _NAMELESS else (str(path),)
            raise OSError(number, os.strerror(number), *names)

    return fail


def _run(scenario: str, root: Path) -> None:
    fresh = scenario == "fresh"
    _search(root, fresh=fresh, executions=1 + fresh)


def _search(root: Path, seed: int = 0, fresh: bool = False, executions: int = 1) -> None:
    from tuning.pipeline.resources import Resources
    from tuning.pipeline.search import run_search

    run_search(
        Workspace(root),
        space=SPACE,
        name=NAME,
        fresh=fresh,
        max_epochs=2,
        factor=2,
        max_trials=3,
        top_k=1,
        executions=executions,
        seed=seed,
        dtype="float32",
        resources=Resources(executor="inline"),
    )


def _repair(root: Path) -> None:
    from tuning.results import integrity

    integrity.repair(Workspace(root))
    if left := files.leftovers(root):
        raise RuntimeError(f"left over: {left}")


def _load(warm: Path) -> None:
    """Replace training and plotting by toy work and tiny figures, and run a search once to import everything."""
    # This process is forked, which TensorFlow would not survive; it trains nothing, so another backend will do.
    os.environ["KERAS_BACKEND"] = "numpy"
    importlib.import_module("keras")
    from matplotlib.figure import Figure

    from tuning.pipeline import session
    from tuning.results import plots
    from tuning.results.report import pictures

    names = ("accuracy.png", "loss.png", "confusion_matrix_raw.png", "confusion_matrix_norm.png")
    plots.run_figures = lambda metrics, history: {name: Figure(figsize=(0.1, 0.1)) for name in names}
    pictures.pictures = lambda history, importances, title: {"best_so_far.png": Figure(figsize=(0.1, 0.1))}
    # From here on, the variable is only read into the settings of a search, as the backend of its workers.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    session.WORK = "stress.toy:run"
    # fsync matters only for power failures, which are not simulated here.
    os.fsync = lambda descriptor: None
    _prepare(warm)
    _search(warm)
    _repair(warm)


def _prepare(root: Path) -> None:
    """Write a prepared data set of black images."""
    workspace = Workspace(root).create()
    info = description.DatasetInfo("d" * 64, toy.CLASSES, 8, 1, {"train": 6, "val": 6, "test": 6})
    workspace.split.mkdir()
    pixels, labels = np.zeros((6, 8, 8, 1), np.uint8), np.arange(6) % 3
    hashes: dict[str, str] = {}
    for split in info.counts:
        hashes |= packing.write_split(workspace.split, split, pixels, np.arange(6), labels)
    places = []
    for split in description.SPLITS:
        for number in range(6):
            label, name = toy.CLASSES[number % 3], f"{split}{number}"
            places.append(Place(f"{label}/{name}.png", f"{label}/{name}.png", files.digest(name), label, name, split))
    manifest = SplitManifest((70.0, 15.0, 15.0), 0, "box", tuple(sorted(places, key=lambda place: place.file)), {})
    write_split_manifest(workspace.split_manifest, manifest)
    description.write_description(workspace.split, info, manifest.digest, hashes)


def _child(action: Callable[[], None], hook: Hook | None = None) -> dict[str, Any]:
    """Run `action` in a process forked from this one; return how it failed, empty if it did not."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def body() -> None:
        files.fault_hook = hook
        try:
            action()
            sender.send({})
        except OSError as error:
            sender.send({"errno": error.errno, "filename": error.filename})
        except BaseException as error:
            sender.send({"error": "".join(traceback.format_exception(error))})

    process = context.Process(target=body)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return {"signal": -process.exitcode}
    finally:
        process.join()


def _must_end(end: dict[str, Any]) -> None:
    if end:
        raise RuntimeError(f"without any fault, it ended with {end}")
