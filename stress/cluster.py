"""Searches on a Ray cluster of three hosts, each with another fault, compared with the same search without a cluster.

The hosts are namespaces, see `stress.cluster_hosts`. Nothing is run where these are not allowed or Ray is missing.

python -m stress.cluster FOLDER [CASE …]      # some cases only; their logs stay in FOLDER
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import kills
from stress.cluster_hosts import Host, hosts, inside, refused
from stress.cluster_ray import LOWEST, NAMES, ONE, SEARCH, Cluster, install_lowest_ray
from tuning.core.workspace import Workspace

SITE_PACKAGES = Path(importlib.util.find_spec("keras").origin).parents[1]  # type: ignore[union-attr, arg-type]
#: (file, line, the line in another revision): a line whose change alters results.
_LINE = ("trials/runtime.py", 'keyed_seed(seed, "epoch", epoch)', 'keyed_seed(seed, "epoch", epoch + 1)')
#: First argument of this module's command when it runs inside the lab.
_INSIDE = "--inside"
#: Exit code of a killed search, as a shell reports it.
KILLED = 137


@dataclass(frozen=True)
class Case:
    """A fault, and the expected outcome.

    Attributes:
        fault: starts the cluster and the search, and causes the fault.
        exits: expected exit codes of the launches of the search, in order.
        says: a regular expression that its output must contain.
        publishes: True: it must end with the leaderboard of the local search; False: it must write nothing.
        hosts: names of the cluster's hosts.
        lowest_ray: whether the case needs the lowest supported version of Ray.
    """

    fault: Callable[[Cluster], None]
    exits: tuple[int, ...] = (0,)
    says: str = ""
    publishes: bool = True
    hosts: tuple[str, ...] = NAMES
    lowest_ray: bool = False


def _none(cluster: Cluster) -> None:
    cluster.up()
    cluster.ends(cluster.search())


def _node_killed(cluster: Cluster) -> None:
    cluster.up()
    search = cluster.search()
    cluster.trains(cluster.left, search)
    cluster.left.kill()
    cluster.ends(search)


def _node_restarted(cluster: Cluster) -> None:
    cluster.up()
    search = cluster.search()
    cluster.trains(cluster.left, search)
    cluster.restart(cluster.left)
    cluster.ends(search)


def _link_cut(cluster: Cluster) -> None:
    cluster.up()
    search = cluster.search()
    cluster.trains(cluster.left, search)
    cluster.left.cut()
    time.sleep(45)
    cluster.left.mend()
    cluster.ends(search)


def _workspace_hidden(cluster: Cluster) -> None:
    cluster.left.hide(cluster.workspace.root)
    _none(cluster)


def _package_missing(cluster: Cluster) -> None:
    _remove_keras(cluster.left)
    _none(cluster)


def _no_usable_node(cluster: Cluster) -> None:
    for host in (cluster.left, cluster.right):
        _remove_keras(host)
    cluster.up(("--num-cpus=0",))
    cluster.ends(cluster.search())


def _remove_keras(host: Host) -> None:
    host.own(SITE_PACKAGES)
    folders = [folder for folder in SITE_PACKAGES.glob("keras*") if re.fullmatch(r"keras(-\d.*)?", folder.name)]
    host.run("rm", "-r", *map(str, folders))


def _other_revision(cluster: Cluster) -> None:
    package = kills.REPOSITORY / "tuning"
    cluster.left.own(package)
    name, line, changed = _LINE
    assert (package / name).read_text().count(line) == 1
    cluster.left.run("sed", "-i", f"s/{line}/{changed}/", str(package / name))
    _none(cluster)


def _other_ray(cluster: Cluster) -> None:
    """Run only the search with another version of Ray, because Ray itself rejects nodes of another version."""
    cluster.up()
    cluster.ends(cluster.search(_with_lowest_ray(cluster)))


def _lowest_ray(cluster: Cluster) -> None:
    """Run nodes and search with the lowest version of Ray; all other cases use the installed one."""
    cluster.environment.update(_with_lowest_ray(cluster))
    _none(cluster)


def _with_lowest_ray(cluster: Cluster) -> dict[str, str]:
    return {"PYTHONPATH": f"{cluster.folder.parent / LOWEST}:{kills.REPOSITORY}"}


def _no_free_processor(cluster: Cluster) -> None:
    cluster.up()
    others = cluster.occupy()
    search = cluster.search()
    time.sleep(30)
    assert search.poll() is None, cluster.said()
    others.kill()
    cluster.ends(search)


def _login_node(cluster: Cluster) -> None:
    cluster.up((*ONE, "--labels=kind=login"), (*ONE, '--resources={"fast": 1}'))
    cluster.options = (*cluster.options, "--ray-resources", "CPU=1,fast=1,label:kind=!login")
    cluster.ends(cluster.search())
    assert not cluster.epochs(cluster.head)


def _token_missing(cluster: Cluster) -> None:
    cluster.up()
    cluster.ends(cluster.search({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}))


def _search_killed_twice(cluster: Cluster) -> None:
    cluster.up()
    for host in (cluster.left, cluster.right):
        search = cluster.search()
        cluster.trains(host, search)
        search.kill()
        cluster.ends(search)
    cluster.ends(cluster.search())


CASES = {
    "no fault": Case(_none, hosts=NAMES[:2]),
    "node killed": Case(_node_killed),
    "node restarted": Case(_node_restarted, says=r"node left is lost[\s\S]*node left is back"),
    "link cut for 45 s": Case(_link_cut),
    "workspace hidden": Case(_workspace_hidden, says=r"left\b.*does not see"),
    "package missing": Case(_package_missing, says=r"left\b.*keras"),
    "no usable node": Case(_no_usable_node, (4,), r"left\b.*keras", publishes=False),
    "other revision": Case(_other_revision, says=r"left\b.*(code|revision)"),
    "other Ray": Case(_other_ray, (4,), r"has Ray \d.*has Ray \d", publishes=False, lowest_ray=True),
    "lowest Ray": Case(_lowest_ray, lowest_ray=True),
    "no free processor": Case(_no_free_processor, says="waiting for room"),
    "login node": Case(_login_node, says=r"on 1 node: left \(1\)", hosts=NAMES[:2]),
    "token missing": Case(_token_missing, (4,), r"error: .*token", publishes=False),
    "search killed twice": Case(_search_killed_twice, (KILLED, KILLED, 0)),
}


def main(folder: Path, names: list[str] | None = None) -> dict[str, Any]:
    """Run the cases (default: all); return the outcome of each."""
    if reason := refused() if importlib.util.find_spec("ray") else "Ray is not installed":
        return {"passed": True, "skipped": reason}
    wanted, skipped = list(names or CASES), []
    if any(CASES[name].lowest_ray for name in wanted) and not install_lowest_ray(folder):
        skipped = [name for name in wanted if CASES[name].lowest_ray]
        wanted = [name for name in wanted if name not in skipped]
    prepared = kills.prepare(folder / "prepared")
    reference = Workspace(folder / "reference")
    shutil.copytree(prepared, reference.root)
    with (folder / "reference.log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "tuning.search", "--root", str(reference.root), "--workers", "1", *SEARCH],
            env=kills.environment(),
            stdout=log,
            stderr=log,
            check=True,
        )
    inside([sys.executable, "-m", "stress.cluster", _INSIDE, str(folder), *wanted], env=kills.environment())
    path = folder / "cases.json"
    each = json.loads(path.read_text()) if path.exists() else []
    return {
        "passed": len(each) == len(wanted) and all(case["passed"] for case in each),
        "ray": importlib.metadata.version("ray"),
        "without the lowest Ray, skipped": skipped,
        "failed": [case["case"] for case in each if not case["passed"]],
        "each": each,
    }


def _run(folder: Path, names: list[str]) -> None:
    """Run cases inside the lab; write the outcomes to cases.json."""
    each = []
    for name in names:
        each.append(_case(folder / name.replace(" ", "-"), name, folder / "prepared", Workspace(folder / "reference")))
        print(_line(each[-1]), flush=True)
        (folder / "cases.json").write_text(json.dumps(each))


def _case(folder: Path, name: str, prepared: Path, reference: Workspace) -> dict[str, Any]:
    folder.mkdir()
    case, problem = CASES[name], ""
    with hosts(case.hosts) as made:
        cluster = Cluster(made, folder, prepared)
        try:
            case.fault(cluster)
        except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
            problem = f"{type(error).__name__}: {error}"
    expected = kills.result(reference) if case.publishes else kills.result(Workspace(prepared))
    found = {
        "exits": tuple(cluster.exits) == case.exits,
        "says": re.search(case.says, cluster.said()) is not None,
        "result": kills.result(cluster.workspace) == expected,
        "writes": case.publishes or not cluster.workspace.search(kills.NAME).exists(),
    }
    return {
        "case": name,
        "expected": list(case.exits),
        "exits": cluster.exits,
        "seconds": round(max(0.0, cluster.ended - cluster.began)),
        "leaderboard": _digest(cluster.workspace),
        "local": _digest(reference),
        "wrong": [key for key, right in found.items() if not right],
        "problem": problem,
        "passed": all(found.values()) and not problem,
    }


def _digest(workspace: Workspace) -> str:
    path = workspace.leaderboard
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "none"


def _line(case: dict[str, Any]) -> str:
    wrong = "".join(f", wrong: {name}" for name in case["wrong"])
    return (
        f"{case['case']:<20} {'passed' if case['passed'] else 'FAILED'}  exit {case['exits']}, expected "
        f"{case['expected']}, {case['seconds']} s, leaderboard {case['leaderboard']}, local {case['local']}{wrong} "
        f"{case['problem']}"
    ).rstrip()


if __name__ == "__main__":
    if sys.argv[1] == _INSIDE:
        _run(Path(sys.argv[2]), sys.argv[3:])
    else:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), sys.argv[2:]), indent=2))
