"""Damages journals at random: torn, cut, flipped, repeated, swapped or missing lines, and noise.

Whatever is read back must be a beginning of what was written, or the file must be refused and stay unchanged.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tuning.core.errors import StateError
from tuning.core.records import Failure, TrialSpec
from tuning.engine.audit import audit
from tuning.engine.entries import Ask, Attempt, AttemptDied, Entry, Result, Spent
from tuning.engine.journal import Journal, encode, parse
from tuning.engine.state import replay


def history(choice: random.Random) -> list[Entry]:
    """Return the journal entries of a random search: attempts, deaths and results, with several jobs at a time."""
    records: list[Entry] = []
    running: dict[str, int] = {}

    def add(entry: Entry) -> None:
        records.append(msgspec.structs.replace(entry, n=len(records)))

    for number in range(choice.randint(0, 8)):
        trial = TrialSpec(f"{number:04d}", {"rate": choice.random(), "größe": number})
        add(Ask(trial=trial, completed=0))
        running[f"trial/{number:04d}"] = -1
        while running and choice.random() < 0.7:
            key = choice.choice(sorted(running))
            if running[key] < 0 or choice.random() < 0.2:
                running[key] = len(records)
                add(Attempt(key=key, epoch=choice.randint(0, 3)))
            elif choice.random() < 0.3:
                add(AttemptDied(key=key, fence=running[key], failure=Failure("crash", "SIGSEGV\n" * 3)))
                running[key] = -1
            else:
                result = {"score": choice.random(), "curve": []}
                add(Result(key=key, fence=running.pop(key), result=result))
        if choice.random() < 0.2:
            add(Spent(seconds=choice.random()))
    return records


def torn(lines: list[bytes], choice: random.Random) -> list[bytes]:
    return [*lines[:-1], lines[-1][: choice.randrange(len(lines[-1]))]]


def cut(lines: list[bytes], choice: random.Random) -> list[bytes]:
    data = b"".join(lines)
    return [data[: choice.randrange(len(data))]]


def flipped(lines: list[bytes], choice: random.Random) -> list[bytes]:
    data = bytearray(b"".join(lines))
    for _ in range(choice.randint(1, 3)):
        data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
    return [bytes(data)]


def repeated(lines: list[bytes], choice: random.Random) -> list[bytes]:
    place = choice.randrange(len(lines) + 1)
    return [*lines[:place], choice.choice(lines), *lines[place:]]


def exchanged(lines: list[bytes], choice: random.Random) -> list[bytes]:
    first, second = choice.randrange(len(lines)), choice.randrange(len(lines))
    result = list(lines)
    result[first], result[second] = lines[second], lines[first]
    return result


def left_out(lines: list[bytes], choice: random.Random) -> list[bytes]:
    place = choice.randrange(len(lines))
    return [*lines[:place], *lines[place + 1 :]]


def noise(lines: list[bytes], choice: random.Random) -> list[bytes]:
    place = choice.randrange(len(lines) + 1)
    return [*lines[:place], choice.randbytes(choice.randint(1, 60)), *lines[place:]]


DAMAGES = (torn, cut, flipped, repeated, exchanged, left_out, noise)


def case(seed: int, path: Path) -> str:
    """Damage a random journal and read it back; return "whole", "shortened" or "refused".

    Raises:
        AssertionError: an entry was read that was not written there, or more entries were lost than were damaged.
    """
    choice = random.Random(seed)
    written = history(choice)
    lines = [encode(record) for record in written]
    damaged = list(lines)
    for damage in choice.sample(DAMAGES, choice.choice((1, 1, 1, 2))):
        damaged = damage(damaged, choice) if any(damaged) and damaged[-1] else damaged
    data = b"".join(damaged)
    parsed = parse(data)
    found = list(parsed.records)
    if found != written[: len(found)]:
        raise AssertionError(f"seed {seed}: read what was never written")
    intact = _intact(lines, data)
    if len(found) < intact:
        raise AssertionError(f"seed {seed}: {intact} lines are intact, {len(found)} were read")
    if audit(found):
        raise AssertionError(f"seed {seed}: the beginning of a sound journal is not sound: {audit(found)}")
    path.write_bytes(data)
    try:
        with Journal(path) as journal:
            if journal.records != found:
                raise AssertionError(f"seed {seed}: opened with other records than were read")
            added = journal.append(Spent(seconds=1.0))
    except StateError:
        if not parsed.damage or path.read_bytes() != data:
            raise AssertionError(f"seed {seed}: refused without reason, or changed") from None
        return "refused"
    rest = data[parsed.length :]
    if parsed.damage or any(line.strip(b"\0") for line in rest.split(b"\n")[1:]):
        raise AssertionError(f"seed {seed}: damage was overlooked")
    again = parse(path.read_bytes())
    if list(again.records) != [*found, added] or again.damage:
        raise AssertionError(f"seed {seed}: what was added is not read back")
    replay(again.records)
    return "whole" if found == written else "shortened"


def _intact(lines: list[bytes], data: bytes) -> int:
    """Return the number of undamaged lines at the beginning."""
    position = 0
    for count, line in enumerate(lines):
        if data[position : position + len(line)] != line:
            return count
        position += len(line)
    return len(lines)


def main(folder: Path, cases: int = 10_000) -> dict[str, Any]:
    """Run many cases, each with another seed."""
    ends, problems = Counter[str](), []
    for seed in range(cases):
        try:
            ends[case(seed, folder / "journal.jsonl")] += 1
        except AssertionError as error:
            problems.append(str(error))
        (folder / "journal.jsonl").unlink(missing_ok=True)
    return {"passed": not problems, "cases": cases, "ends": dict(ends), "problems": problems}
