"""A whole search over toy work, and a fault at each of its operations on the disk: a kill, a full disk, an I/O error, a
file system that became read-only.

After each fault every file is as it was before or after some whole operation of the undisturbed search, the error
names a path, and the same command ends in the same leaderboard, runs and promoted model.
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
import time
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
#: A disk that is full, or read-only, stays so; an I/O error may be the only one.
ERRORS = {"ENOSPC": True, "EROFS": True, "EIO": False}
FAULTS = (CRASH, *ERRORS)
#: Operations whose system calls name no path in their errors.
_NAMELESS = ("write", "fsync", "append", "truncate")
#: What differs from run to run: the journal counts seconds, says who holds it, and the report shows those seconds.
_VOLATILE = ("journal.jsonl", "journal.lock", "journal.owner", ".leaderboard.lock", "report.html")

Hook = Callable[[str, Path], None]


@dataclass
class Undisturbed:
    """What a scenario does when nothing goes wrong.

    Attributes:
        operations: what each of its operations on the disk was.
        versions: digests of what each file held at any time.
        end: digests of the files that count, at the end.
    """

    operations: list[str] = field(default_factory=list)
    versions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    end: dict[str, str] = field(default_factory=dict)


def main(
    folder: Path, kill_every: int = 1, error_every: int = 1, scenarios: tuple[str, ...] = ("search", "fresh")
) -> dict[str, Any]:
    """Sweeps every fault over the operations (each, or one in so many) of each scenario."""
    began, problems, cases = time.monotonic(), [], Counter[str]()
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
    return {
        "passed": not problems,
        "operations": operations,
        "cases": dict(cases),
        "problems": problems,
        "seconds": round(time.monotonic() - began, 1),
    }


def _case(start: Path, root: Path, scenario: str, fault: str, n: int, undisturbed: Undisturbed) -> Iterator[str]:
    """What is wrong after `fault` at operation `n`, and after the same command again."""
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
    """Files that hold what they never held in an undisturbed search."""
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
    """sha256 of each file by its path, those aside and those that differ from run to run apart."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _aside(name)]
        for name in names:
            if name not in _VOLATILE and not _aside(name):
                path = Path(folder, name)
                # The search that was there before may be moved aside once or, after a fault, twice.
                found[path.relative_to(root).as_posix().replace("~2", "~1")] = hashlib.sha256(
                    path.read_bytes()
                ).hexdigest()
    return found


def _aside(name: str) -> bool:
    return name.startswith((files.TEMPORARY_MARK, files.RETIRED_MARK))


def _end(root: Path) -> dict[str, str]:
    """What must be the same at the end: everything but the searches' own folders."""
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
    """Puts toy work and small pictures in the place of training and plotting, and has everything imported once."""
    # Processes are forked from this one, which TensorFlow would not survive; nothing is trained in it.
    os.environ["KERAS_BACKEND"] = "numpy"
    importlib.import_module("keras")
    from matplotlib.figure import Figure

    from tuning.pipeline import session
    from tuning.results import plots
    from tuning.results.report import pictures

    names = ("accuracy.png", "loss.png", "confusion_matrix_raw.png", "confusion_matrix_norm.png")
    plots.run_figures = lambda metrics, history: {name: Figure(figsize=(0.1, 0.1)) for name in names}
    pictures.pictures = lambda history, importances, title: {"best_so_far.png": Figure(figsize=(0.1, 0.1))}
    # The settings of a search name the backend of its workers, not that of this process.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    session.WORK = "stress.toy:run"
    # Power stays on here: waiting for a real disk would show nothing.
    os.fsync = lambda descriptor: None
    _prepare(warm)
    _search(warm)
    _repair(warm)


def _prepare(root: Path) -> None:
    """The prepared data of a workspace: noise."""
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
    """Does `action` in a process of its own, forked from this one: how it ended, empty when all went well."""
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
