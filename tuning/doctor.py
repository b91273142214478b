"""Checks this machine, the packages and a workspace.

  python -m tuning.doctor
  python -m tuning.doctor --root demo-workspace --repair      # restore what can be derived from the runs
  python -m tuning.doctor --json | python -m json.tool

The exit code is 3 if the workspace has a fault or --root does not exist, and 4 if a required package is missing or too
old, or KERAS_BACKEND names a backend that is missing. TensorFlow is never imported.

reads   the whole workspace
writes  nothing; with --repair, what can be derived from the runs
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tuning import __version__, cli
from tuning.core.errors import EXIT_DONE, EXIT_ENVIRONMENT, EXIT_REFUSED, StateError
from tuning.core.findings import FAULT, NOTE, OK, Finding
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.core.packages import Package

#: What each extra is for, in words.
EXTRAS = {
    "ray": "searching on several machines",
    "mlflow": "logging searches to MLflow (--mlflow)",
    "onnx": "exporting to ONNX",
    "litert": "opening LiteRT exports as a device does, without TensorFlow",
    "notebook": "running the notebooks in JupyterLab",
    "heic": "reading the photos of iPhones (HEIC)",
    "docs": "rendering docs/ (make docs)",
    "test": "running this project's tests",
    "bench": "comparing strategies on learning curves, and with other libraries",
}
#: Keras backend -> the line that installs it.
BACKENDS = {
    "tensorflow": "pip install --upgrade tensorflow",
    "jax": "pip install jax",
    "torch": "pip install torch",
}
#: One of the separate packages that TensorFlow needs to use an NVIDIA GPU, and the line that installs them.
CUDA_PACKAGE, CUDA_LINE = "nvidia-cudnn-cu12", "pip install 'tensorflow[and-cuda]'"
LITTLE_DISK = 2 * 2**30
_MARKS = {OK: "ok   ", NOTE: "note ", FAULT: "FAULT"}


def options() -> argparse.ArgumentParser:
    parser = cli.parser("doctor", __doc__)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="remove leftovers of interrupted writes; derive leaderboard and promoted model anew from the runs",
    )
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> cli.Result:
    from tuning.core import machine, packages

    facts = machine.facts(workspace.root)
    installed = packages.packages()
    needed = package_findings([package for package in installed if package.extra is None])
    extras = extra_findings([package for package in installed if package.extra is not None])
    backends = backend_findings(os.environ.get("KERAS_BACKEND"), facts["gpus"])
    broken = any(finding.state == FAULT for finding in (*needed, *backends))
    # Checking a workspace needs NumPy and others: missing packages have to be installed first.
    repaired, found = ([], []) if broken else workspace_findings(workspace, args.repair)
    sections = {
        "machine": machine_findings(facts),
        "packages": needed,
        "keras backends": backends,
        "extras": extras,
        f"workspace {workspace.root.resolve()}": found,
    }
    code = EXIT_DONE
    if broken:
        code = EXIT_ENVIRONMENT
    elif any(finding.state == FAULT for finding in found):
        code = EXIT_REFUSED
    result = {
        "healthy": code == EXIT_DONE,
        "version": __version__,
        "machine": facts,
        "packages": [
            {"name": entry.name, "wanted": entry.wanted, "installed": entry.installed, "extra": entry.extra}
            for entry in installed
        ],
        "backends": [asdict(finding) for finding in backends],
        "workspace": [asdict(finding) for finding in found],
        "repaired": repaired,
    }
    return result, checklist(sections, repaired), code


def workspace_findings(workspace: Workspace, mend: bool) -> tuple[list[str], list[Finding]]:
    """Returns (what was repaired, the findings afterwards)."""
    from tuning.results import integrity

    if not workspace.root.exists():
        try:
            workspace.require()
        except StateError as error:
            return [], [Finding("workspace", FAULT, error.problem, error.remedy)]
    repaired = integrity.repair(workspace) if mend else []
    return repaired, integrity.check(workspace)


def machine_findings(facts: Mapping[str, Any]) -> list[Finding]:
    memory = "unknown" if facts["memory_total"] is None else _gigabytes(facts["memory_total"])
    if facts["memory_available"] is not None:
        memory += f", {_gigabytes(facts['memory_available'])} available"
    features = "unknown features" if facts["features"] is None else " ".join(facts["features"]) or "no wide vectors"
    little = facts["disk_free"] < LITTLE_DISK
    found = [
        Finding("face-tuning", OK, __version__),
        Finding("python", OK, f"{platform.python_version()} on {facts['platform']}"),
        Finding("processor", OK, f"{facts['processor']}, {facts['cores']} usable cores, {features}"),
        Finding("memory", OK, memory),
        Finding("disk", NOTE if little else OK, f"{_gigabytes(facts['disk_free'])} free{': little' if little else ''}"),
        *(
            Finding("gpu", OK, f"{gpu['name']}, {_gigabytes(gpu['memory'])}, compute capability {gpu['capability']}")
            for gpu in facts["gpus"]
        ),
    ]
    if not facts["gpus"]:
        found.append(Finding("gpu", NOTE, "none: training runs on the processor"))
    kind = "native: trials train in mixed_bfloat16" if facts["bfloat16"] else "not native: trials train in float32"
    found.append(Finding("bfloat16", OK if facts["bfloat16"] else NOTE, kind))
    return found


def backend_findings(chosen: str | None, gpus: Sequence[Any]) -> list[Finding]:
    """Returns findings about the Keras backends: which are installed, and which one trials run on.

    Args:
        chosen: the value of KERAS_BACKEND; None: not set, which means TensorFlow.
    """
    from tuning.core import packages

    found = []
    for name, line in BACKENDS.items():
        version, used = packages.version(name), name == (chosen or "tensorflow")
        if version is None:
            # TensorFlow is a required package: `package_findings` reports that it is missing.
            state = FAULT if used and name != "tensorflow" else NOTE
            found.append(
                Finding(name, state, f"missing{', but KERAS_BACKEND chooses it' if used else ''}", f"run: {line}")
            )
            continue
        use = "trials run on it" if used else f"KERAS_BACKEND={name} chooses it"
        if gpus and name == "jax":
            use += "; on a GPU, fast, but not to the same bits in each process"
        found.append(Finding(name, OK, f"{version}: {use}"))
    if gpus and packages.version("tensorflow") and packages.version(CUDA_PACKAGE) is None:
        found.append(
            Finding("cuda", NOTE, "TensorFlow may not see the GPU: its CUDA packages are missing", f"run: {CUDA_LINE}")
        )
    if chosen and chosen not in BACKENDS:
        found.append(
            Finding(chosen, FAULT, "KERAS_BACKEND is set to it", f"set it to one of {', '.join(BACKENDS)}, or unset it")
        )
    return found


def package_findings(packages: Sequence[Package]) -> list[Finding]:
    from tuning.core.packages import upgrade_line

    return [
        Finding(
            package.name,
            OK if package.suits else FAULT,
            f"{package.installed or 'missing'}{f' (wanted {package.wanted})' if not package.suits else ''}",
            "" if package.suits else f"run: {upgrade_line()}",
        )
        for package in packages
    ]


def extra_findings(packages: Sequence[Package]) -> list[Finding]:
    from tuning.core.packages import install_line

    found = []
    for extra in dict.fromkeys(package.extra for package in packages if package.extra is not None):
        lacking = [package.name for package in packages if package.extra == extra and not package.suits]
        detail = f"for {EXTRAS[extra]}: " + (f"lacks {', '.join(lacking)}" if lacking else "installed")
        remedy = f"if you want it, run: {install_line(extra)}" if lacking else ""
        found.append(Finding(extra, NOTE if lacking else OK, detail, remedy))
    return found


def checklist(sections: Mapping[str, Sequence[Finding]], repaired: Sequence[str]) -> str:
    """Formats the findings, and what was repaired, as text."""
    lines: list[str] = []
    for title, findings in sections.items():
        if not findings:
            continue
        lines += ["", title] if lines else [title]
        width = max(len(finding.subject) for finding in findings)
        for finding, following in zip(findings, [*findings[1:], None], strict=True):
            lines.append(f"  {_MARKS[finding.state]}  {finding.subject:<{width}}  {finding.detail}")
            # Consecutive findings with the same remedy share one line for it.
            if finding.remedy and (following is None or following.remedy != finding.remedy):
                lines.append(f"  {'':5}  {'':<{width}}  → {finding.remedy}")
    if repaired:
        lines += ["", "repaired", *(f"  {line}" for line in repaired)]
    return "\n".join(lines)


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True, bare=True)


if __name__ == "__main__":
    sys.exit(main())
