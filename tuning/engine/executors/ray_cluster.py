"""The connection to a Ray cluster that runs already, and of which this machine is a node."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from tuning.core import packages
from tuning.core.errors import EnvironmentProblem, UsageError

#: Ray takes 127.0.0.1 for a mistake and replaces it by an address that others can reach; this one it lets be.
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
_AUTO = "auto"
#: Ray opens ports, and whoever reaches one can run code: so a token that nobody can guess, and a loopback address.
_START = (
    "start one on this machine with these two lines:\n"
    "  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))') && "
    f"ray start --head --node-ip-address={LOOPBACK} --include-dashboard=false\n"
    "  python -m tuning.search --executor ray\n"
    "`ray stop` ends it; --executor local needs no cluster"
)
_EXTRA = "ray"
_CONNECT_SECONDS = 10.0


class Cluster:
    """A connected cluster.

    Args:
        address: `host:port`, or "auto" for the one of which this machine is a node; None: the environment's
            RAY_ADDRESS, or "auto". A process that is connected already, as a notebook may be, stays so.

    Attributes:
        ray: the module.

    Raises:
        EnvironmentProblem: Ray is missing or too old, or there is no cluster to join.
        UsageError: an address of another kind.
    """

    def __init__(self, address: str | None) -> None:
        _check_installed()
        self._joined = False
        if address is None and "ray" in sys.modules and sys.modules["ray"].is_initialized():
            self.ray = sys.modules["ray"]
            return
        given, address = _found(address)
        _check_address(given, address)
        if os.environ.get("RAY_AUTH_TOKEN"):
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Only now: Ray reads its settings from the environment when it is imported.
        import ray

        self.ray = ray
        try:
            self._join(address)
        except BaseException:
            self.close()
            raise

    def total(self, resource: str) -> int:
        """How much of "CPU" or "GPU" all its nodes have."""
        return int(self.ray.cluster_resources().get(resource, 0))

    def close(self) -> None:
        """Disconnects; may be called twice."""
        if self._joined:
            self._joined = False
            with _own_signal_handlers():
                self.ray.shutdown()

    def _join(self, address: str) -> None:
        options = {"_node_ip_address": LOOPBACK} if address.startswith(f"{LOOPBACK}:") else {}
        try:
            with _own_signal_handlers():
                self.ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (self.ray.exceptions.RayError, OSError, RuntimeError, ValueError, AssertionError) as error:
            if address == _AUTO and isinstance(error, ConnectionError):
                raise EnvironmentProblem(
                    f"there is no Ray cluster on this machine that can be joined: {first_line(error)}", _START
                ) from None
            raise EnvironmentProblem(
                f"cannot join the Ray cluster at {address}: {first_line(error)}",
                "check the address, that this machine is a node of the cluster, and that RAY_AUTH_MODE and "
                "RAY_AUTH_TOKEN are what the cluster was started with",
            ) from None
        self._joined = True
        # Ray prints what it has to say about lost nodes on stdout, whatever `log_to_driver` is; stdout is ours.
        self.ray._private.worker._worker_logs_enabled = False


def _found(address: str | None) -> tuple[str, str]:
    """(where it was given, the address)."""
    if address is not None:
        return "--ray-address", address
    return "RAY_ADDRESS", os.environ.get("RAY_ADDRESS") or _AUTO


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


def _check_address(given: str, address: str) -> None:
    """Ray itself would try for two minutes, and take some other words for a wish to start a cluster."""
    if address == _AUTO:
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise UsageError(
            f"{given} is {address!r}", "run this command on a node of the cluster, and give host:port or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentProblem(
            f"nothing answers at the Ray address {address} ({given}): {error}",
            "see `ray status` on a node of the cluster; --executor local needs no cluster",
        ) from None


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM; what an interrupted command must do is the command's business."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
