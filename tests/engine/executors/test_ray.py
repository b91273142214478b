"""A real Ray cluster on this machine: the same events as from local workers, and nodes that go away."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tuning.core.errors import Disconnected, EnvironmentProblem
from tuning.engine.executors import Died, Finished, Job, NodeChanged, Progressed, ray_cluster
from tuning.engine.executors.ray import RayExecutor
from tuning.engine.executors.seats import Request

if not importlib.util.find_spec("ray"):
    # Not `pytest.importorskip`: Ray must be imported after its token authentication was switched on.
    pytest.skip("ray is not installed", allow_module_level=True)
# A cluster is a dozen processes, and what is looked at is what happens within seconds.
pytestmark = pytest.mark.alone
HERE = Path(__file__).parent
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two slots on a loopback address, with a token; this process stays connected for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        port = free_port()
        # Short: Ray's sockets lie in it, and their paths may not exceed 107 characters.
        folder, mark = tempfile.mkdtemp(prefix="ray-"), secrets.token_hex(8)
        head = start("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false", cpus=2, mark=mark)
        patch.setenv("RAY_ADDRESS", f"{ray_cluster.LOOPBACK}:{port}")
        handler, joined = signal.getsignal(signal.SIGTERM), None
        try:
            yield (joined := joined_when_up())
        finally:
            if joined:
                joined.shutdown()
            end("EXTRA_NODE", mark)
            head.wait()
            shutil.rmtree(folder, ignore_errors=True)
            # Ray replaces it in a process that it is in.
            signal.signal(signal.SIGTERM, handler)


def free_port():
    with socket.socket() as one:
        one.bind((ray_cluster.LOOPBACK, 0))
        return one.getsockname()[1]


def joined_when_up():
    """The cluster, once this machine is a node of it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ray_cluster.join(ray_cluster.checked_address(None))
        except EnvironmentProblem:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def start(*options, cpus, mark):
    """A node of a cluster, as on another machine, in a session of its own."""
    command = ["start", f"--node-ip-address={ray_cluster.LOOPBACK}", "--block", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *command, f"--num-cpus={cpus}", "--object-store-memory=80000000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # Ray gives what it starts a niceness of 15, and a busy machine then takes minutes for what is tested here.
        env={**os.environ, "EXTRA_NODE": mark, "PYTHONPATH": str(HERE), "RAY_worker_niceness": "0"},
    )


def end(name, value):
    """Kills all processes whose environment holds name=value."""
    while found := marked(name, value):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


@pytest.fixture
def make(cluster, tmp_path):
    made = []

    def build(workers=1, **options):
        executor = RayExecutor(workers, "sample_work:run", {"SAMPLE": "yes"}, tmp_path / "logs", **options)
        made.append(executor)
        return executor

    yield build
    for executor in made:
        executor.close()
    # The next test wants the slots.
    wait_for(lambda: cluster.available_resources().get("CPU", 0) == 2)


def job(kind, fence=0, **payload):
    return Job(f"{kind}/{fence}", fence, kind, payload)


def ended(executor, count=1, seconds=30):
    """The ends of `count` jobs, by key."""
    found, deadline = {}, time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < deadline, "no answer"
        for event in executor.collect(1.0):
            if isinstance(event, Finished | Died):
                found[event.key] = event
    return found


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def marked(name, value):
    """Living processes whose environment holds name=value."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"{name}={value}".encode() in (folder / "environ").read_bytes().split(b"\0") and alive(int(folder.name)):
                found.append(int(folder.name))
    return sorted(found)


def test_jobs_are_answered_by_processes_that_stay_and_start_with_their_environment(make):
    executor = make()
    assert executor.free() == 1
    executor.submit(job("echo", 1, value=[1, "ü"]))
    assert executor.free() == 0
    events = []
    while not any(isinstance(event, Finished) for event in events):
        events += executor.collect(5.0)
    (node,) = (event for event in events if isinstance(event, NodeChanged))
    assert node.what == "used"
    events.remove(node)
    assert events[0] == Progressed("echo/1", 1, {"epoch": 1})
    assert events[1].result["payload"] == {"value": [1, "ü"]}
    assert events[1].node == node.node
    executor.submit(job("echo", 2))
    assert ended(executor)["echo/2"].result["pid"] == events[1].result["pid"]
    executor.submit(job("environment", names=["SAMPLE", "PATH"]))
    assert ended(executor)["environment/0"].result == {"SAMPLE": "yes", "PATH": os.environ["PATH"]}


def test_errors_and_deaths_are_told_as_by_local_workers_and_within_a_second(make):
    executor = make()
    executor.submit(job("raise"))
    assert ended(executor)["raise/0"].error.message == "ValueError: a bad"
    executor.submit(job("full-disk"))
    error = ended(executor)["full-disk/0"].error
    assert (error.kind, error.errno, error.filename) == ("environment", 28, "/some/checkpoint")
    for kind, payload, failure, words in (
        ("signal", {"signal": signal.SIGKILL}, "memory", "SIGKILL"),
        ("signal", {"signal": signal.SIGSEGV}, "crash", "SIGSEGV"),
        ("exit", {"code": 7}, "crash", "exit code 7"),
    ):
        began = time.monotonic()
        executor.submit(job(kind, **payload))
        event = ended(executor)[f"{kind}/0"]
        assert time.monotonic() - began < 1.0
        assert isinstance(event, Died)
        assert event.failure.kind == failure
        assert words in event.failure.message


def test_a_hang_is_ended_by_the_timeout(make):
    executor = make(trial_timeout=1.0)
    executor.submit(job("sleep", seconds=60))
    event = ended(executor, seconds=15)["sleep/0"]
    assert event.failure.kind == "timeout"


@linux
def test_an_actor_that_is_killed_is_a_lost_job_and_the_next_job_gets_a_new_one(make):
    executor = make()
    executor.submit(job("echo"))
    worker = ended(executor)["echo/0"].result["pid"]
    executor.submit(job("sleep", seconds=60))
    wait_for(lambda: not executor.collect(0.5))
    actor = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    began = time.monotonic()
    os.kill(actor, signal.SIGKILL)
    event = ended(executor)["sleep/0"]
    assert time.monotonic() - began < 1.0
    assert isinstance(event, Died)
    assert event.failure.kind == "lost"
    executor.submit(job("echo", 1))
    assert ended(executor)["echo/1"].result["pid"] != worker
    assert not alive(worker)


def test_jobs_run_side_by_side_with_little_delay_and_a_cancelled_one_makes_room(make):
    executor = make(2)
    for n in range(2):
        executor.submit(job("sleep", n, seconds=8))
    assert executor.free() == 0
    assert len({event.result["pid"] for event in ended(executor, 2).values()}) == 2
    began = time.monotonic()
    for n in range(2):
        executor.submit(job("sleep", n, seconds=3))
    ended(executor, 2)
    assert time.monotonic() - began < 3.3
    executor.submit(job("sleep", 5, seconds=60))
    executor.cancel()
    assert executor.free() == 2
    executor.submit(job("echo", 6))
    assert set(ended(executor)) == {"echo/6"}


def test_a_job_waits_for_whichever_actor_comes_first(make):
    """Three at a time on a cluster of two: the third actor never starts, and its job runs all the same."""
    executor = make(3)
    for n in range(3):
        executor.submit(job("sleep", n, seconds=0.3))
    assert len(ended(executor, 3)) == 3


@pytest.fixture
def full(cluster, make):
    """A cluster that others have taken."""
    filler = cluster.remote(num_cpus=2)(type("Filler", (), {})).remote()
    wait_for(lambda: cluster.available_resources().get("CPU", 0) == 0)
    yield
    cluster.kill(filler)


def test_of_a_cluster_without_room_it_is_said_at_once_and_given_up_only_where_that_is_wanted(full, make):
    said = []
    waiting = make(1, wait=6.0, say=said.append)
    waiting.submit(job("echo"))
    with pytest.raises(EnvironmentProblem, match=r"no room for a trial, CPU=1 each, within 6 s \(--ray-wait\)"):
        ended(waiting)
    assert said[0].startswith("Ray cluster: 1 trial at a time on 1 node")
    assert said[1].startswith("waiting for room in the Ray cluster, CPU=1 for each trial, for up to 6 s (--ray-wait)")


def test_what_no_node_has_is_waited_for(cluster, make):
    said = []
    executor = make(1, request=Request(others={"telescope": 1.0}), say=said.append)
    executor.submit(job("echo"))
    wait_for(lambda: executor.collect(0.5) or said)
    assert "CPU=1,telescope=1 for each trial, without end (--ray-wait SECONDS gives up): no node" in said[0]
    executor.cancel()


def test_a_cluster_that_ends_us_is_an_error_that_says_how_to_go_on(make):
    executor = make()
    executor.submit(job("sleep", seconds=60))
    executor.collect(0.5)
    os.kill(executor._process.pid, signal.SIGKILL)
    with pytest.raises(Disconnected, match="Ray has ended the connection") as caught:
        ended(executor)
    assert caught.value.exit_code == 4


def test_what_listens_but_is_no_cluster_is_named_in_time(make):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port, began = silent.getsockname()[1], time.monotonic()
        with pytest.raises(EnvironmentProblem, match=f"what listens at 127.0.0.1:{port} does not answer"):
            make(address=f"127.0.0.1:{port}")
    assert time.monotonic() - began < 15


def test_waiting_costs_next_to_nothing(make):
    executor = make()
    executor.submit(job("echo"))
    ended(executor)
    executor.submit(job("sleep", seconds=4))
    gc.collect()  # what earlier tests have left is not looked through meanwhile
    before = time.process_time()
    ended(executor)
    assert time.process_time() - before < 0.04


def test_a_signal_ends_a_wait_with_what_its_handler_raises(make):
    def handler(number, frame):
        raise InterruptedError

    before = signal.signal(signal.SIGTERM, handler)
    try:
        executor = make()
        executor.submit(job("sleep", seconds=60))
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(InterruptedError):
            while True:
                executor.collect(30)
        assert time.monotonic() - began < 4
    finally:
        signal.signal(signal.SIGTERM, before)


@linux
def test_close_ends_running_workers_at_once(make):
    executor = make()
    executor.submit(job("echo"))
    pid = ended(executor)["echo/0"].result["pid"]
    executor.submit(job("sleep", seconds=60))
    executor.collect(0.2)
    began = time.monotonic()
    executor.close()
    executor.close()
    wait_for(lambda: not alive(pid), seconds=2 - (time.monotonic() - began))


@linux
@pytest.mark.slow
def test_a_node_that_is_lost_in_the_middle_ends_its_job_which_finishes_on_another(cluster, make):
    """The search's own node has no room, so that the jobs run on two others; one of them is killed, whole."""
    ray_module = cluster
    address = ray_module.get_runtime_context().gcs_address
    filler = ray_module.remote(num_cpus=2)(type("Filler", (), {})).remote()
    wait_for(lambda: ray_module.available_resources().get("CPU", 0) == 0)
    nodes = {}
    try:
        for name in ("first", "second"):
            resources = f'--resources={{"{name}": 1}}'
            nodes[name] = start(f"--address={address}", resources, cpus=1, mark=name)
            wait_for(lambda name=name: name in ray_module.cluster_resources())
        executor = make(2)
        for n in range(2, 12):  # until both nodes work
            executor.submit(job("sleep", n, seconds=2))
            executor.submit(job("sleep", -n, seconds=2))
            if len({event.result["pid"] for event in ended(executor, 2).values()}) == 2:
                break
        for n in range(2):
            executor.submit(job("sleep", n, seconds=8))
        assert executor.collect(1.0) == []
        for pid in marked("EXTRA_NODE", "second"):
            os.kill(pid, signal.SIGKILL)
        found = ended(executor, 2)
        ((key, failure),) = [(event.key, event.failure) for event in found.values() if isinstance(event, Died)]
        assert failure.kind == "lost"
        executor.submit(Job(key, 1, "environment", {"names": ["EXTRA_NODE"]}))
        assert ended(executor)[key].result == {"EXTRA_NODE": "first"}
    finally:
        for name, node in nodes.items():
            end("EXTRA_NODE", name)
            node.wait()
        ray_module.kill(filler)
        wait_for(lambda: ray_module.cluster_resources().get("CPU") == 2)


def test_only_who_has_the_token_gets_in(cluster):
    address = cluster.get_runtime_context().gcs_address
    code = f"import ray; ray.init({address!r}, _node_ip_address={ray_cluster.LOOPBACK!r}); print('joined', flush=True)"
    tokens = {
        "right": {},
        "wrong": {"RAY_AUTH_TOKEN": "0" * 64},
        "none": {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""},
    }
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **token},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, token in tokens.items()
    }
    assert started["right"].communicate(timeout=30)[0] == "joined\n"
    # The others try for half a minute before they say so.
    time.sleep(2)
    for name in ("wrong", "none"):
        started[name].kill()
        assert started[name].communicate()[0] == ""
