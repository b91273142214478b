"""Real searches with TensorFlow, killed with SIGKILL again and again, compared with the same searches undisturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.evidence import killed, sound
from tuning.core.workspace import Workspace
from tuning.results.runs import run_folders

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "tiny"
SPACE = "stress.tiny_cnn:build_model"
#: Longest random time before a kill: a launch from the start of Python to the end of training, imports included.
LONGEST_SECONDS = 9.0
#: Most events before a kill, see `run_killed`; a search has about eighty journal entries and epochs.
STRIDE = 12
#: Deaths of a worker count against its configuration, which did not cause these.
_ENDLESS_DEATHS = ("--max-deaths", "100000")


@dataclass(frozen=True)
class Variant:
    """Options of a search: its settings, which determine the result, and its resources, which do not."""

    settings: tuple[str, ...]
    resources: tuple[str, ...]


def _variant(strategy: str, seed: int, *resources: str) -> Variant:
    hyperband = ("--factor", "2") if strategy == "hyperband" else ()
    return Variant(("--strategy", strategy, "--seed", str(seed), "--max-trials", "6", *hyperband), resources)


VARIANTS = (
    _variant("hyperband", 0, "--workers", "2"),
    _variant("hyperband", 0, "--workers", "1"),
    _variant("bayesian", 1, "--workers", "2"),
    _variant("hyperband", 0, "--executor", "inline"),
)


def main(folder: Path, searches: int = 20, kills: int = 10, seed: int = 0) -> dict[str, Any]:
    """Kill `searches` searches `kills` times each; return a summary.

    If searches end before their last kill, more searches follow, until there are `searches` × `kills` kills.
    """
    prepared = prepare(folder / "prepared")
    references: dict[tuple[str, ...], dict[str, Any]] = {}
    reports = []
    while sum(report["kills"] for report in reports) < searches * kills:
        number = len(reports)
        variant = VARIANTS[number % len(VARIANTS)]
        if variant.settings not in references:
            references[variant.settings] = _reference(folder / f"reference-{len(references)}", prepared, variant)
        report = _killed(folder / f"search-{number:02d}", prepared, variant, kills, seed + number)
        report["identical"] = report.pop("result") == references[variant.settings]
        reports.append(report)
        print(_line(number, report), flush=True)
    return _summary(reports)


def _summary(reports: list[dict[str, Any]]) -> dict[str, Any]:
    moments = Counter[str]()
    for report in reports:
        moments.update(report["moments"])
    names = ("kills", "launches", "orphans", "epochs", "repeated_epochs", "went_back")
    return {
        "passed": all(report["identical"] and sound(report) for report in reports),
        "searches": len(reports),
        "identical": sum(report["identical"] for report in reports),
        **{name: sum(report[name] for report in reports) for name in names},
        "moments": dict(moments),
        "audit": [problem for report in reports for problem in report["audit"]],
        "slowest_end_seconds": max(report["slowest_end_seconds"] for report in reports),
        "each": reports,
    }


def _line(number: int, report: dict[str, Any]) -> str:
    return (
        f"search {number:2}: {' '.join(report['options'])}: {report['kills']} kills, {report['launches']} launches, "
        f"{'identical' if report['identical'] else 'DIFFERENT'}, {report['repeated_epochs']} epochs again of "
        f"{report['epochs']}, {report['orphans']} orphans, {len(report['audit'])} findings, {report['seconds']:.0f} s"
    )


def prepare(root: Path) -> Path:
    for command in (["demo", "--classes", "3", "--per-class", "20"], ["prepare", "--image-size", "24"]):
        subprocess.run(
            [sys.executable, "-m", f"tuning.{command[0]}", "--root", str(root), "--quiet", *command[1:]],
            env=environment(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return root


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(REPOSITORY),
    }


def _command(variant: Variant) -> list[str]:
    return [
        *(sys.executable, "-m", "tuning.search", "--root", ".", "--name", NAME, "--space", SPACE),
        *("--max-epochs", "4", "--retrain-epochs", "8", "--top-k", "2", "--dtype", "float32", *_ENDLESS_DEATHS),
        *variant.settings,
        *variant.resources,
    ]


def _reference(root: Path, prepared: Path, variant: Variant) -> dict[str, Any]:
    shutil.copytree(prepared, root)
    with (root / "output.log").open("wb") as output:
        subprocess.run(
            _command(variant), cwd=root, env=environment(), stdout=output, stderr=output, check=True, timeout=600
        )
    return result(Workspace(root))


def result(workspace: Workspace) -> dict[str, Any]:
    """Return what must be equal: the leaderboard's text, the weights' digest of every run, the promoted run."""
    runs = [folder / "metrics.json" for folder in run_folders(workspace)]
    return {
        "leaderboard": workspace.leaderboard.read_text() if workspace.leaderboard.is_file() else "",
        "weights": {path.parent.name: json.loads(path.read_text())["weights_sha256"] for path in runs},
        "promoted": json.loads(workspace.best_model_metrics.read_text())["run_id"]
        if workspace.best_model_metrics.is_file()
        else "",
    }


def _killed(root: Path, prepared: Path, variant: Variant, kills: int, seed: int) -> dict[str, Any]:
    shutil.copytree(prepared, root)
    workspace = Workspace(root)
    path = workspace.search(NAME) / "journal.jsonl"
    report = killed(_command(variant), environment(), root, path, kills, seed, LONGEST_SECONDS, STRIDE)
    return {"options": [*variant.settings, *variant.resources], "result": result(workspace), **report}
