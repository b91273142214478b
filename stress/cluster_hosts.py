"""A lab of hosts on this machine: each has its own network, PID, mount and UTS namespaces; a bridge connects them.

The lab itself lives in an outer namespace; when that ends, for whatever reason, every host and process of the lab ends.
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
#: Runs a command in the outer namespace, which ends with this process; without root rights, in a user namespace.
_INSIDE = (
    *("setpriv", "--pdeathsig", "KILL", "unshare"),
    *(() if os.geteuid() == 0 else ("--user", "--map-root-user")),
    *("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    # The namespace's first process must reap orphans, without which a killed host would not end.
    *("sh", "-c", '"$@"; exit $?', "sh"),
)
_BRIDGE = "lab"
#: First shell of a host. It prints its process id as seen in the lab before it remounts /proc, which hides the others.
_BOOT = (
    "read pid rest < /proc/self/stat && mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm && "
    "echo $0 > /proc/sys/kernel/hostname && echo $pid && exec sleep infinity"
)


def refused() -> str:
    """Return why this machine cannot run a lab; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "namespaces need Linux"
    if lacking := [tool for tool in _TOOLS if not shutil.which(tool)]:
        return f"there is no {', '.join(lacking)}"
    tried = subprocess.run(
        [*_INSIDE, "ip", "link", "add", _BRIDGE, "type", "bridge"], capture_output=True, text=True, check=False
    )
    return f"namespaces are not allowed: {tried.stderr.strip()}" if tried.returncode else ""


def inside(command: Sequence[str], **options: object) -> int:
    """Run a command inside the lab, where it may create `hosts`; return its exit code."""
    return subprocess.run([*_INSIDE, *command], check=False, **options).returncode  # type: ignore[call-overload]


class Host:
    """A host of the lab.

    Attributes:
        name: its host name.
        address: IP address of its network card.
        temporary: a folder of its own, at the same path on each host.
    """

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
            # Its shell reports being killed.
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
        # The route leads nowhere, but programs need one to find out their own address.
        self.run("ip", "route", "add", "default", "dev", "eth0")

    def start(
        self, *command: str, folder: Path, output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command on the host, in `folder`; it dies with the returned process."""
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
        """Hide the content of a folder from the host."""
        self.run("mount", "-t", "tmpfs", "tmpfs", str(folder))

    def own(self, folder: Path) -> None:
        """Mount an overlay on a folder, so that changes that `run` makes in it affect this host only."""
        layers = [self.temporary / f"{folder.name}-{kind}" for kind in ("changes", "work")]
        self.run("mkdir", *map(str, layers))
        options = f"lowerdir={folder},upperdir={layers[0]},workdir={layers[1]}"
        self.run("mount", "-t", "overlay", "overlay", "-o", options, str(folder))

    def cut(self) -> None:
        _ip(f"link set {self._card} down")

    def mend(self) -> None:
        _ip(f"link set {self._card} up")

    def kill(self) -> None:
        """Kill the host at once, as a power failure would."""
        # Its card is deleted first, so that no process on it can say goodbye. The kernel would delete the card too, but
        # perhaps only after the next host with that card is created.
        subprocess.run(["ip", "link", "delete", self._card], stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._pid), 9)
        self._init.wait()

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._pid}", "--net", "--mount", "--pid", "--uts"]


@contextlib.contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """Create hosts that can reach each other and nothing else; only for a command run by `inside`."""
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
