"""The connection to a running Ray cluster of which this machine is a node.

All uses of Ray's unstable interfaces are at the end of this module.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from tuning.core import packages
from tuning.core.errors import EnvironmentProblem, TuningError, UsageError

#: Ray replaces 127.0.0.1 by an address that other machines can reach; it accepts this loopback address.
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
#: Environment variable that Ray sets for the entrypoint of a submitted job.
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_AUTO = "auto"
#: Anyone who reaches one of Ray's ports can run code, hence the secret token and the loopback address.
_START = (
    "start one on this machine with these two lines:\n"
    "  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))') && "
    f"ray start --head --node-ip-address={LOOPBACK} --include-dashboard=false\n"
    "  python -m tuning.search --executor ray\n"
    "`ray stop` ends it; --executor local needs no cluster"
)
_EXTRA = "ray"
CONNECT_SECONDS = 3.0
#: How long a cluster's control service may take to answer, and before that the import of Ray on a busy machine.
ANSWER_SECONDS = 9.0
IMPORT_SECONDS = 120.0


def check_installed() -> None:
    """Checks that a suitable version of Ray is installed.

    Raises:
        EnvironmentProblem: Ray is missing or too old.
    """
    lacking = [package for package in packages.packages() if package.extra == _EXTRA and not package.suits]
    if not lacking:
        return
    wanted, installed = lacking[0].wanted, lacking[0].installed or "none"
    raise EnvironmentProblem(
        f"--executor ray needs Ray {wanted}, and {installed} is installed",
        f"run: {packages.install_line(_EXTRA)}",
    )


def checked_address(address: str | None) -> str:
    """Returns `host:port`, after checking that something listens there, or "auto".

    None means the cluster that this process (a notebook, say) is connected to already, else RAY_ADDRESS, else "auto".

    Raises:
        UsageError: the address has another form.
        EnvironmentProblem: nothing listens there.
    """
    ray = sys.modules.get("ray")
    if address is None and ray is not None and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    given, address = _given_address(address)
    if address == _AUTO:
        return address
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise UsageError(
            f"{given} is {address!r}", "run this command on a node of the cluster, and give host:port or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentProblem(
            f"nothing answers at the Ray address {address} ({given}): {error}",
            "see `ray status` on a node of the cluster; --executor local needs no cluster",
        ) from None
    return address


def _given_address(address: str | None) -> tuple[str, str]:
    """The option or variable that gives the address, and the address."""
    if address is not None:
        return "--ray-address", address
    from_environment = os.environ.get("RAY_ADDRESS") or _AUTO
    if from_environment.startswith(("http://", "https://")):
        if os.environ.get(_JOB):
            return "RAY_ADDRESS", _AUTO
        raise UsageError(
            f"RAY_ADDRESS is {from_environment!r}, which is where `ray job submit` sends jobs to",
            "on a node of the cluster, give --ray-address auto; from elsewhere, submit this command as a job",
        )
    return "RAY_ADDRESS", from_environment


def no_answer(address: str) -> EnvironmentProblem:
    """The error for an address where something other than a Ray control service listens."""
    return EnvironmentProblem(
        f"what listens at {address} does not answer as a Ray cluster does within {ANSWER_SECONDS:g} s",
        "give the port of the head's control service, 6379 unless `ray start --port` says otherwise: not that of the "
        "dashboard or of Ray Client; see `ray status` on a node of the cluster",
    )


def join(address: str, asking: Callable[[], None] = lambda: None, answered: Callable[[], None] = lambda: None) -> Any:
    """Joins a cluster and returns the module `ray`; for a process that does nothing else.

    Args:
        asking, answered: called before the control service is asked, and once it has answered.

    Raises:
        EnvironmentProblem: there is no cluster, it has other versions, or it refuses this process.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Imported only now, because Ray reads its settings from the environment on import.
    import ray

    errors = (ray.exceptions.RayError, OSError, RuntimeError, ValueError, AssertionError)
    asking()
    try:
        address = _host_and_port(address)
        service = _control_service(address)
        _check_versions(address, service, ray.__version__)
        own = _own_addresses(service)
        answered()
    except errors as error:
        raise _refused(address, error) from None
    if not own:
        raise EnvironmentProblem(
            f"this machine is no node of the Ray cluster at {address}",
            f"run `ray start --address={address}` here first (with --num-cpus=0, no trial runs here), or run this "
            "command on a node of the cluster",
        )
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **_node_address(own))
    except errors as error:
        raise _refused(address, error) from None
    return ray


def _check_versions(address: str, service: Any, version: str) -> None:
    """Compares the cluster's versions with this process's, before other requests that may fail between versions.

    Raises:
        EnvironmentProblem: the versions differ.
    """
    theirs, ours = _versions(service), (version, platform.python_version())
    if theirs and theirs != ours:
        there, here = (f"Ray {ray} and Python {python}" for ray, python in (theirs, ours))
        raise EnvironmentProblem(
            f"the Ray cluster at {address} has {there}, this command has {here}",
            "run this command with the versions of the cluster, or start the cluster with those of this environment",
        )


def _own_addresses(service: Any) -> list[str]:
    """The addresses of this machine's nodes in the cluster; waits a moment for a node that has just started."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while not (own := [address for address in _node_addresses(service) if _is_ours(address)]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.3)
    return own


def _refused(address: str, error: Exception) -> TuningError:
    text = " ".join(str(error).split())
    if address == _AUTO and isinstance(error, ConnectionError):
        return EnvironmentProblem(f"there is no Ray cluster on this machine that can be joined: {text[:300]}", _START)
    if type(error).__name__ == "AuthenticationError":
        ours = "this command has none" if not _has_token() else "this command's is another one"
        return EnvironmentProblem(
            f"the Ray cluster at {address} wants a token, and {ours}",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to what every node was started with",
        )
    if "Timed out" in text:
        return no_answer(address)
    return EnvironmentProblem(
        f"cannot join the Ray cluster at {address}: {text[:300] or type(error).__name__}",
        "check the address, that this machine is a node of the cluster, and that RAY_AUTH_MODE and RAY_AUTH_TOKEN are "
        "what the cluster was started with",
    )


def _has_token() -> bool:
    by_name = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return os.environ.get("RAY_AUTH_MODE") == "token" and bool(by_name)


def _is_ours(address: str) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((address, 0))
        return True
    return False


# Unstable interfaces of Ray.


def _host_and_port(address: str) -> str:
    """Resolves "auto" by Ray's own search, so that the cluster can be asked whether it is alive."""
    if address != _AUTO:
        return address
    from ray._private import services

    return str(services.canonicalize_bootstrap_address(address))


def _control_service(address: str) -> Any:
    """A client of a cluster's control service. `ray.init` takes minutes to fail, and does not always tell why."""
    return importlib.import_module("ray._raylet").GcsClient(address=address)


def _versions(service: Any) -> tuple[str, str] | None:
    """The cluster's versions of Ray and Python; None: it has just started and has not stored them yet."""
    stored = service.internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster", timeout=CONNECT_SECONDS)
    if stored is None:
        return None
    metadata = json.loads(stored)
    return metadata["ray_version"], metadata["python_version"]


def _node_addresses(service: Any) -> list[str]:
    """The addresses of all nodes that are alive."""
    nodes = service.get_all_node_info(timeout=CONNECT_SECONDS)
    return [info.node_manager_address for info in nodes.values() if info.state == 0]


def _node_address(own: list[str]) -> dict[str, str]:
    """The argument of `ray.init` that names a node on a loopback address, which Ray would not find by itself."""
    return {"_node_ip_address": own[0]} if own[0].startswith("127.") else {}
