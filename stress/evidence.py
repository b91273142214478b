"""The evidence that a killed search leaves: its journal, and a log with a line for each event of an epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stress.killing import Outcome, run_killed
from tuning.engine import journal
from tuning.engine.audit import audit
from tuning.engine.state import accepts, replay

#: Environment variable with the path of the log that `note` appends to.
EPOCHS = "STRESS_EPOCHS"

BEGAN, SAVING, SAVED = "began", "saving", "saved"


class Note(NamedTuple):
    """An event of an epoch: BEGAN, or the start (SAVING) or end (SAVED) of writing its checkpoint.

    `seed` identifies the chain of trials. SAVING and SAVED are noted only where a checkpoint is written while training
    continues.
    """

    seed: int
    epoch: int
    what: str = BEGAN


def note(noted: Note) -> None:
    """Append a line to the log; do nothing if there is none."""
    path = os.environ.get(EPOCHS)
    if not path:
        return
    # A short line written by a single call is in the file completely or not at all, even if this process is killed.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{noted.seed} {noted.epoch} {noted.what}\n".encode())
    os.close(descriptor)


def killed(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    journal_path: Path,
    kills: int,
    seed: int,
    longest: float,
    stride: int,
) -> dict[str, Any]:
    """Call `run_killed` and return a JSON report about it and the evidence that the search left.

    The events are journal entries and begun epochs; the other arguments are those of `run_killed`.
    """
    epochs = directory / "epochs.log"
    outcome = run_killed(
        command,
        {**environment, EPOCHS: str(epochs)},
        directory,
        kills,
        seed,
        longest,
        stride,
        lambda: _lines(journal_path, b"\n") + _lines(epochs, f"{BEGAN}\n".encode()),
        lambda: _moment(journal_path),
    )
    return _report(outcome, journal_path, epochs)


def _report(outcome: Outcome, journal_path: Path, epochs: Path) -> dict[str, Any]:
    parsed = journal.parse(journal_path.read_bytes() if journal_path.exists() else b"")
    notes = list(_notes(epochs))
    began = [(each.seed, each.epoch) for each in notes if each.what == BEGAN]
    return {
        "code": outcome.code,
        "kills": outcome.kills.total(),
        "targets": dict(outcome.kills),
        "moments": dict(outcome.moments),
        "launches": outcome.launches,
        "orphans": outcome.orphans,
        "slowest_end_seconds": round(outcome.slowest_end, 3),
        "seconds": round(outcome.seconds, 1),
        "audit": [*([parsed.damage] if parsed.damage else []), *audit(parsed.records, ended=True)],
        "epochs": len(set(began)),
        "repeated_epochs": len(began) - len(set(began)),
        "went_back": went_back(notes),
    }


def sound(report: Mapping[str, Any]) -> bool:
    """Return whether the search ended with exit code 0, a consistent journal, no orphans and no epoch out of order."""
    return not (report["code"] or report["audit"] or report["orphans"] or report["went_back"])


def went_back(notes: Sequence[Note]) -> int:
    """Count the epochs that should not have begun.

    Allowed are the next epoch, the same epoch again (it was interrupted), and the one before it if its checkpoint was
    not completely written.
    """
    last: dict[int, int] = {}
    saving: set[tuple[int, int]] = set()
    wrong = 0
    for seed, epoch, what in notes:
        if what == SAVING:
            saving.add((seed, epoch))
        elif what == SAVED:
            saving.discard((seed, epoch))
        else:
            before = last.get(seed, 0)
            is_next = epoch in (before, before + 1) or (epoch == before - 1 and (seed, epoch) in saving)
            wrong += epoch < 1 or not is_next
            last[seed] = epoch
    return wrong


def _notes(path: Path) -> Iterator[Note]:
    for line in path.read_text().splitlines() if path.exists() else ():
        seed, epoch, what = line.split()
        yield Note(int(seed), int(epoch), what)


def _lines(path: Path, end: bytes) -> int:
    try:
        return path.read_bytes().count(end)
    except FileNotFoundError:
        return 0


def _moment(path: Path) -> str:
    """Return the kinds of the running jobs according to the journal, joined by "+", or "between jobs"."""
    jobs = replay(journal.read(path)).jobs
    open_jobs = [key for key, job in jobs.items() if job.fence is not None and accepts(job, job.fence)]
    return "+".join(sorted({key.partition("/")[0] for key in open_jobs})) or "between jobs"
