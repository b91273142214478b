"""The connection to a Ray cluster: one that runs already, or one of our own on this machine that ends with us.

Ray opens ports on every interface of the machine, and whoever reaches one can run code. So our own cluster asks for a
token, random and known to this process and its children alone, and gives its nodes a loopback address.

It is held by a process of its own, `python -m tuning.engine.executors.ray_cluster CPUS`, which ends everything it has
started when its stdin does: Ray's own processes can outlive a killed parent by a minute.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuning.core import packages
from tuning.core.errors import EnvironmentProblem, UsageError

#: Ray takes 127.0.0.1 for a mistake and replaces it by an address that others can reach; this one it lets be.
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
_EXTRA = "ray"
#: Ours carries short messages only; Ray's own default is a third of the memory.
_OBJECT_STORE_BYTES = 100 * 2**20
_CLOSE_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_PR_SET_CHILD_SUBREAPER = 36


class Cluster:
    """A connected cluster.

    Args:
        address: `host:port` or "auto" of a running one, of which this machine is a node; None: start our own.
        cpus: slots of our own.
        log: where our own one's complaints go.

    Attributes:
        ray: the module.

    Raises:
        EnvironmentProblem: Ray is missing or too old, or the cluster cannot be started or joined.
        UsageError: an address of another kind.
    """

    def __init__(self, address: str | None, cpus: int, log: Path) -> None:
        _check_installed()
        if address is not None:
            _check_address(address)
        self._keeper: subprocess.Popen | None = None
        self._joined = False
        if address is None and "ray" in sys.modules and sys.modules["ray"].is_initialized():
            # A process that is connected already, as a notebook may be, stays so.
            self.ray = sys.modules["ray"]
            return
        if address is None:
            _require_token()
        elif os.environ.get("RAY_AUTH_TOKEN"):
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Only now: Ray reads its settings from the environment when it is imported.
        import ray

        self.ray = ray
        try:
            self._join(self._start(cpus, log) if address is None else address)
        except BaseException:
            self.close()
            raise

    def alive(self) -> bool:
        """Whether our own cluster is still being held; True for any other."""
        return self._keeper is None or self._keeper.poll() is None

    def total(self, resource: str) -> int:
        """How much of "CPU" or "GPU" all its nodes have."""
        return int(self.ray.cluster_resources().get(resource, 0))

    def close(self) -> None:
        """Disconnects, and ends a cluster of our own with everything in it; may be called twice."""
        if self._joined:
            self._joined = False
            with _own_signal_handlers():
                self.ray.shutdown()
        if self._keeper is not None:
            _end(self._keeper)

    def _start(self, cpus: int, log: Path) -> str:
        with log.open("wb") as file:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", __name__, str(cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                text=True,
                start_new_session=True,
            )
        address = self._keeper.stdout.readline().strip()
        if not address:
            raise EnvironmentProblem("Ray did not start on this machine", f"see {log}")
        return address

    def _join(self, address: str) -> None:
        options = {"_node_ip_address": LOOPBACK} if address.startswith(f"{LOOPBACK}:") else {}
        try:
            with _own_signal_handlers():
                self.ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (self.ray.exceptions.RayError, OSError, RuntimeError, ValueError, AssertionError) as error:
            raise EnvironmentProblem(
                f"cannot join the Ray cluster at {address}: {first_line(error)}",
                "check the address, that this machine is a node of the cluster, and that RAY_AUTH_MODE and "
                "RAY_AUTH_TOKEN are what the cluster was started with",
            ) from None
        self._joined = True
        # Ray prints what it has to say about lost nodes on stdout, whatever `log_to_driver` is; stdout is ours.
        self.ray._private.worker._worker_logs_enabled = False


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _check_installed() -> None:
    lacking = [package for package in packages.packages() if package.extra == _EXTRA and not package.suits]
    if not lacking:
        return
    wanted, installed = lacking[0].wanted, lacking[0].installed or "none"
    raise EnvironmentProblem(
        f"--executor ray needs Ray {wanted}, and {installed} is installed",
        f"in this project's folder, run: pip install -e '.[{_EXTRA}]'",
    )


def _check_address(address: str) -> None:
    """Ray itself would try for two minutes, and take some other words for a wish to start a cluster."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise UsageError(
            f"--ray-address is {address!r}", "run this command on a node of the cluster, and give host:port or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentProblem(
            f"nothing answers at the Ray address {address}: {error}", "see `ray status` on a node of the cluster"
        ) from None


def _require_token() -> None:
    """For as long as this process lives: Ray reads it once."""
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        raise EnvironmentProblem(
            "Ray was imported before its token authentication was switched on",
            "set RAY_AUTH_MODE=token before you import ray, or connect with ray.init() yourself",
        )
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM; what an interrupted command must do is the command's business."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _end(keeper: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        keeper.stdin.close()
    try:
        keeper.wait(_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    keeper.stdout.close()


def main(argv: list[str]) -> int:
    """Holds a cluster of one node until stdin ends; its address is the only line on stdout."""
    # Short: Ray's sockets lie in it, and their paths may not exceed 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-")
    _adopt_orphans()
    try:
        import ray

        ray.init(
            "local",
            num_cpus=int(argv[0]),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address=LOOPBACK,
            _temp_dir=folder,
        )
        print(ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.read()
    except Exception:
        traceback.print_exc()
    _kill_descendants()
    shutil.rmtree(folder, ignore_errors=True)
    # Not `ray.shutdown()`: nothing is left of the cluster that could be told.
    os._exit(0)


def _adopt_orphans() -> None:
    """Processes whose parent dies become ours, not the system's (Linux)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _kill_descendants() -> None:
    """Stopped ones too, and those in sessions of their own, until none is left."""
    # Ray brings it along.
    import psutil

    while children := [child for child in psutil.Process().children(recursive=True) if _lives(child)]:
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=1.0)


def _lives(process: Any) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
