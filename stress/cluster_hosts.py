"""Hosts of a lab on this machine: network, process, mount and name spaces of their own, on a bridge.

All of it lives inside one more namespace: what ends that, however it does, ends every host and process of the lab.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TOOLS = ("unshare", "nsenter", "setpriv", "ip", "mount")
#: Ends with us. Whoever is not root is root in a user namespace.
_INSIDE = (
    *("setpriv", "--pdeathsig", "KILL", "unshare"),
    *(() if os.geteuid() == 0 else ("--user", "--map-root-user")),
    *("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    # The first process there must reap what has lost its parent: a host does not end before.
    *("sh", "-c", '"$@"; exit $?', "sh"),
)
_BRIDGE = "lab"
#: The first shell of a host tells its process id as the lab sees it, before it can see its own processes only.
_BOOT = (
    "read pid rest < /proc/self/stat && mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm && "
    "echo $0 > /proc/sys/kernel/hostname && echo $pid && exec sleep infinity"
)


def refused() -> str:
    """Why there can be no lab on this machine; empty: there can."""
    if not sys.platform.startswith("linux"):
        return "namespaces need Linux"
    if lacking := [tool for tool in _TOOLS if not shutil.which(tool)]:
        return f"there is no {', '.join(lacking)}"
    tried = subprocess.run(
        [*_INSIDE, "ip", "link", "add", _BRIDGE, "type", "bridge"], capture_output=True, text=True, check=False
    )
    return f"namespaces are not allowed: {tried.stderr.strip()}" if tried.returncode else ""


def inside(command: Sequence[str], **options: object) -> int:
    """Runs a command that may make hosts; its exit code."""
    return subprocess.run([*_INSIDE, *command], check=False, **options).returncode  # type: ignore[call-overload]


class Host:
    """A machine of the lab.

    Attributes:
        name: its host name.
        address: of its one network card.
    """

    #: Each host has its own, at the same path.
    temporary = Path("/dev/shm")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.address = name, f"10.77.0.{number}"
        self._card = f"card{number}"
        self._init = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--"),
                *("sh", "-c", _BOOT, name),
            ],
            stdout=subprocess.PIPE,
            # It complains of its own death.
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._init.stdout is not None
        self._pid = self._init.stdout.readline().strip()
        _ip(f"link add {self._card} type veth peer name eth0 netns {self._pid}")
        _ip(f"link set {self._card} master {_BRIDGE} up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        # It leads nowhere, and lets a program ask which of its addresses others see.
        self.run("ip", "route", "add", "default", "dev", "eth0")

    def start(
        self, *command: str, folder: Path, output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Starts a command there, in `folder`; it dies with the process that this returns."""
        with output.open("ab") as file:
            return subprocess.Popen(
                [*self._enter(), "setpriv", "--pdeathsig", "KILL", "env", f"--chdir={folder}", *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
            )

    def run(self, *command: str) -> None:
        subprocess.run([*self._enter(), *command], check=True)

    def hide(self, folder: Path) -> None:
        """Nothing is seen there any more."""
        self.run("mount", "-t", "tmpfs", "tmpfs", str(folder))

    def own(self, folder: Path) -> None:
        """What is changed there from now on, here with `run`, is changed on this host only."""
        layers = [self.temporary / f"{folder.name}-{kind}" for kind in ("changes", "work")]
        self.run("mkdir", *map(str, layers))
        options = f"lowerdir={folder},upperdir={layers[0]},workdir={layers[1]}"
        self.run("mount", "-t", "overlay", "overlay", "-o", options, str(folder))

    def cut(self) -> None:
        _ip(f"link set {self._card} down")

    def mend(self) -> None:
        _ip(f"link set {self._card} up")

    def kill(self) -> None:
        """Pulls the plug."""
        # First, so that nothing there says farewell; left to the end of the host, the next one may still meet it.
        subprocess.run(["ip", "link", "delete", self._card], stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._pid), 9)
        self._init.wait()

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._pid}", "--net", "--mount", "--pid", "--uts"]


@contextlib.contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts that see each other and nothing else; only inside `inside`."""
    _ip(f"link add {_BRIDGE} type bridge")
    _ip(f"link set {_BRIDGE} up")
    made: list[Host] = []
    try:
        for number, name in enumerate(names, 1):
            made.append(Host(name, number))
        yield made
    finally:
        for host in made:
            host.kill()
        _ip(f"link delete {_BRIDGE}")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
