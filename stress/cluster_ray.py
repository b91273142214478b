"""A Ray cluster on the hosts of the lab, and searches on it.

python -m stress.cluster_ray FOLDER PREPARED OPTION …     # inside the lab: one search on a cluster of two hosts

PREPARED is a prepared workspace, of which FOLDER receives a copy; the options are those of a search.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stress import kills
from stress.cluster_hosts import Host, hosts
from stress.evidence import EPOCHS
from tuning.core import packages
from tuning.core.workspace import Workspace

#: Name of the folder with the lowest supported version of Ray.
LOWEST = "lowest-ray"
NAMES = ("head", "left", "right")
#: Six configurations of up to six seconds, then one finalist and the baseline.
SEARCH = (
    *("--name", kills.NAME, "--space", kills.SPACE, "--strategy", "random", "--max-trials", "6", "--max-epochs", "12"),
    *("--top-k", "1", "--dtype", "float32", "--max-memory", "1G", "--max-deaths", "100"),
)
_PORT = 6379
#: Options of `ray start` for a node with one processor.
ONE = ("--num-cpus=1",)
_UNTIL_ANSWERED = """
while True:
    try:
        socket.create_connection({}, 1).close()
        break
    except OSError:
        time.sleep(0.2)
"""
#: The control service answers before the node that it runs on has joined, so connecting may fail at first.
_UNTIL_CONNECTED = """
import ray, time
while not ray.is_initialized():
    try:
        ray.init({!r}, log_to_driver=False)
    except ConnectionError:
        time.sleep(1)
"""
#: Seconds allowed for all nodes to join, for a search to train on a certain node, and for a search to end.
_JOIN, _TRAIN, _END = 300, 600, 1200


class Cluster:
    """A Ray cluster with a node of one processor on each host; searches are started on the first host.

    Attributes:
        options: of a search.
        environment: variables for all processes of the cluster.
        exits: exit codes of the searches so far.
        began: when the first search was started, in monotonic seconds.
        ended: when the last one ended.
    """

    def __init__(self, made: list[Host], folder: Path, prepared: Path, options: Sequence[str] = SEARCH) -> None:
        self.hosts, self.head, self.left, self.right = made, made[0], made[1], made[-1]
        self.folder, self.workspace, self.options = folder, Workspace(folder / "shared"), options
        shutil.copytree(prepared, self.workspace.root)
        self._address = f"{self.head.address}:{_PORT}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.head.temporary),
            # By default, Ray lowers the priority of its workers; the rest of the lab would then slow them down.
            "RAY_worker_niceness": "0",
            "STRESS_EPOCH_SECONDS": "0.5",
        }
        self.exits: list[int] = []
        self.began = self.ended = 0.0

    def up(self, head: Sequence[str] = ONE, others: Sequence[str] = ONE) -> None:
        """Start Ray on all hosts, and wait until all nodes have joined."""
        self._node(self.head, "--head", f"--port={_PORT}", "--include-dashboard=false", *head)
        self._done(
            self._start(
                self.head,
                *("-c", f"import socket, time\n{_UNTIL_ANSWERED.format((self.head.address, _PORT))}"),
                log="python",
            )
        )
        for host in self.hosts[1:]:
            self._join(host, *others)
        self._done(self._python(f"while sum(n['Alive'] for n in ray.nodes()) < {len(self.hosts)}: time.sleep(0.5)"))

    def restart(self, host: Host) -> None:
        """Stop Ray on a host, and start it again."""
        self._done(self._start(host, "-m", "ray.scripts.scripts", "stop", log="python"))
        self._join(host, *ONE)

    def occupy(self) -> subprocess.Popen[bytes]:
        """Start a Ray program that reserves three processors, those of all hosts, until it is killed."""
        holding = self._python(
            "hold = [ray.remote(num_cpus=1)(type('Hold', (), {'ready': lambda self: 0})).remote() for _ in range(3)]; "
            "ray.get([one.ready.remote() for one in hold]); open('held', 'w').close(); time.sleep(3600)"
        )
        until = time.monotonic() + _JOIN
        while not (self.folder / "held").exists() and time.monotonic() < until:
            time.sleep(0.2)
        return holding

    def search(self, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        arguments = ("--root", str(self.workspace.root), "--executor", "ray", "--ray-address", self._address)
        self.began = self.began or time.monotonic()
        return self._start(self.head, "-m", "tuning.search", *arguments, *self.options, log="search", more=more or {})

    def trains(self, host: Host, search: subprocess.Popen[bytes]) -> None:
        """Wait until three more epochs have begun on a host."""
        until, goal = time.monotonic() + _TRAIN, self.epochs(host) + 3
        while self.epochs(host) < goal:
            if search.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"nothing was trained on {host.name}")
            time.sleep(0.05)

    def ends(self, search: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a search, and record its exit code as a shell reports it."""
        code = search.wait(_END)
        self.exits.append(code if code >= 0 else 128 - code)
        self.ended = time.monotonic()

    def said(self) -> str:
        """Return the output of all searches that have ended."""
        return (self.folder / "search.log").read_text(errors="replace") if self.exits else ""

    def _join(self, host: Host, *options: str) -> None:
        self._node(host, f"--address={self._address}", *options)

    def _node(self, host: Host, *options: str) -> None:
        start = ("-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={host.address}", *options)
        self._start(
            host, *start, "--object-store-memory=80000000", log=host.name, more={EPOCHS: str(self._epochs(host))}
        )

    def _done(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait(_JOIN):
            raise RuntimeError((self.folder / "python.log").read_text())

    def _python(self, code: str) -> subprocess.Popen[bytes]:
        connect = _UNTIL_CONNECTED.format(self._address)
        return self._start(self.head, "-c", connect + code, log="python")

    def _start(self, host: Host, *arguments: str, log: str, more: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
        return host.start(
            *(sys.executable, *arguments),
            folder=self.folder,
            output=self.folder / f"{log}.log",
            environment={**self.environment, **more},
        )

    def epochs(self, host: Host) -> int:
        """Return the number of epochs that have begun on a host."""
        path = self._epochs(host)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def _epochs(self, host: Host) -> Path:
        return self.folder / f"{host.name}.epochs"


def install_lowest_ray(folder: Path) -> bool:
    """Install the lowest version of Ray that this project allows into `folder`; return whether that succeeded.

    Its dependencies are not installed again: those of the installed Ray serve.
    """
    (wanted,) = {package.wanted for package in packages.packages() if package.name == "ray"}
    lowest = wanted.removeprefix(">=").partition(",")[0]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / LOWEST)]
    return subprocess.run([*pip, f"ray=={lowest}"], check=False).returncode == 0


def _main(folder: Path, prepared: Path, *options: str) -> int:
    with hosts(NAMES[:2]) as made:
        cluster = Cluster(made, folder, prepared, options)
        cluster.up()
        cluster.ends(cluster.search())
        return cluster.exits[0]


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
