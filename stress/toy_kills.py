"""The engine with toy work, killed with SIGKILL: like `stress.kills`, but without TensorFlow and in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stress import toy
from stress.evidence import killed, sound
from stress.toy_search import RESULT

REPOSITORY = Path(__file__).resolve().parent.parent


def main(folder: Path, searches: int = 4, kills: int = 20, seed: int = 0) -> dict[str, Any]:
    """Kill searches with one, two and three workers in turn, and compare their results with an undisturbed search.

    If searches end before their last kill, more searches follow, until there are `searches` × `kills` kills.
    """
    reference = folder / "reference"
    reference.mkdir()
    subprocess.run(_command(reference, 2), env=_environment("0"), check=True, timeout=60)
    expected = (reference / RESULT).read_bytes()
    reports: list[dict[str, Any]] = []
    while sum(report["kills"] for report in reports) < searches * kills:
        number = len(reports)
        root = folder / f"search-{number}"
        root.mkdir()
        workers = 1 + number % 3
        report = killed(
            _command(root, workers), _environment("0.1"), root, root / "journal.jsonl", kills, seed + number, 0.8, 4
        )
        found = (root / RESULT).read_bytes() if (root / RESULT).exists() else b""
        reports.append({"workers": workers, "identical": found == expected, **report})
    return {
        "passed": all(report["identical"] and sound(report) for report in reports),
        "kills": sum(report["kills"] for report in reports),
        "identical": sum(report["identical"] for report in reports),
        "searches": len(reports),
        "each": reports,
    }


def _command(root: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "stress.toy_search", str(root), str(workers)]


def _environment(epoch_seconds: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), toy.SECONDS: epoch_seconds}
