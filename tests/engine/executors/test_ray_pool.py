"""Nodes that come, go and cannot be used, and actors that are lost, late or idle: with a stand-in for Ray."""

from __future__ import annotations

import itertools
import os
import sys
from types import SimpleNamespace

import pytest

from tuning.core.errors import EnvironmentProblem
from tuning.engine.executors import Died, Finished, Job, ray_nodes, ray_seats
from tuning.engine.executors.ray_messages import Check, Setup
from tuning.engine.executors.ray_nodes import Nodes
from tuning.engine.executors.ray_seats import Pool
from tuning.engine.executors.seats import Request

JOB = Job("trial/0000", 4, "trial")


class RayError(Exception):
    """As Ray's own."""


class OutOfMemoryError(RayError):
    """As Ray's own."""


class RayTaskError(RayError):
    """As Ray's own."""


class Ref:
    """An answer that a test gives when it likes."""

    def __init__(self, where=None):
        self.where, self.answers = where, []

    def give(self, answer):
        self.answers.append(answer)

    def __next__(self):
        return self


class Actor:
    def __init__(self, options):
        self.options, self.started, self.stream, self.killed = options, Ref(), Ref(), False
        self.node = SimpleNamespace(remote=lambda: self.started)
        self.run = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._run))

    def _run(self, job):
        self.stream = Ref()
        return self.stream


class FakeRay:
    """What `Nodes` and `Pool` use of Ray."""

    exceptions = SimpleNamespace(RayError=RayError, OutOfMemoryError=OutOfMemoryError, RayTaskError=RayTaskError)

    def __init__(self):
        self.listed, self.probes, self.actors = [], {}, []
        affinity = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node_id, soft: node_id)
        self.util = SimpleNamespace(scheduling_strategies=affinity)

    def nodes(self):
        return list(self.listed)

    def available_resources(self):
        return {"CPU": 0.0}

    def remote(self, **options):
        if "num_cpus" in options and options.get("max_retries") == 0:
            return lambda probe: SimpleNamespace(remote=lambda *_: self._probe(options["scheduling_strategy"]))
        return lambda kind: SimpleNamespace(options=lambda **more: SimpleNamespace(remote=lambda *_: self._actor(more)))

    def _probe(self, node_id):
        self.probes[node_id] = Ref(node_id)
        return self.probes[node_id]

    def _actor(self, options):
        self.actors.append(Actor(options))
        return self.actors[-1]

    def kill(self, actor):
        actor.killed = True

    def wait(self, refs, num_returns=1, timeout=0):
        ready = [ref for ref in refs if ref.answers]
        return ready, [ref for ref in refs if not ref.answers]

    def get(self, ref):
        answer = ref.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def ray():
    return FakeRay()


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = SimpleNamespace(seconds=1000.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds, sleep=lambda seconds: None)
    monkeypatch.setattr(ray_nodes, "time", clock)
    monkeypatch.setattr(ray_seats, "time", clock)
    return now


def info(node_id, name, alive=True, cpus=1.0, **more):
    return {
        "NodeID": node_id,
        "NodeName": name,
        "NodeManagerAddress": "10.0.0.1",
        "NodeManagerHostname": "host",
        "Alive": alive,
        "Resources": {"CPU": cpus},
        "Labels": {},
        **more,
    }


def inspect(request):
    """Never called: the stand-in answers for nodes."""
    raise AssertionError


def refusal(facts, request):
    """What the check says of a node here: what the test has the node say."""
    return facts.get("refusal")


@pytest.fixture
def nodes(ray, clock, monkeypatch):
    monkeypatch.setattr(ray_nodes.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    made = Nodes(ray, Request(), Check(__name__))
    made.watch()
    return made


def seen(nodes, ray, *listed):
    ray.listed = list(listed)
    nodes._list()
    return [(change.node, change.what) for change in nodes.changes()]


def test_a_node_is_used_once_its_check_says_so(nodes, ray):
    assert seen(nodes, ray, info("a", "one", cpus=3.0), info("b", "two")) == []
    assert nodes.waiting() and not nodes.used()
    ray.probes["a"].give({"computes": {"processor": "P"}})
    ray.probes["b"].give({"refusal": ("it cannot write", "let it")})
    (one, two) = nodes.changes()
    assert (one.node, one.what, one.computes) == ("one", "used", {"processor": "P"})
    assert (two.node, two.what, two.reason) == ("two", "left out", "it cannot write → let it")
    assert nodes.selector() == {"ray.io/node-id": "!in(b)"}
    assert nodes.text(3) == "Ray cluster: 3 trials at a time on 1 node: one (3)"
    assert nodes.text(5) == "Ray cluster: 5 trials at a time, of which 3 can run now, on 1 node: one (3)"


def test_a_node_without_this_package_and_one_whose_check_fails_are_left_out(nodes, ray):
    seen(nodes, ray, info("a", "one"), info("b", "two"))
    ray.probes["a"].give({"missing": "tuning"})
    ray.probes["b"].give(RayTaskError("Traceback\n  ValueError: odd"))
    assert [change.reason.partition(" → ")[0] for change in nodes.changes()] == [
        "its Python has no tuning",
        "its check failed: ValueError: odd",
    ]


def test_a_node_that_does_not_answer_is_left_out_until_it_does(nodes, ray, clock):
    seen(nodes, ray, info("a", "one"))
    clock.seconds += ray_nodes.CHECK_SECONDS + 1
    assert seen(nodes, ray, info("a", "one")) == [("one", "left out")]
    assert not nodes.waiting()
    ray.probes["a"].give({"computes": {}})
    assert seen(nodes, ray, info("a", "one")) == [("one", "used")]


def test_a_lost_node_is_told_and_told_again_when_it_is_back(nodes, ray):
    seen(nodes, ray, info("a", "one"))
    ray.probes["a"].give({"computes": {}})
    assert seen(nodes, ray, info("a", "one")) == [("one", "used")]
    assert seen(nodes, ray, info("a", "one", alive=False, DeathReasonMessage="no heartbeat")) == [("one", "lost")]
    assert seen(nodes, ray, info("a", "one", alive=False), info("b", "one")) == []
    ray.probes["b"].give({"computes": {}})
    assert seen(nodes, ray, info("a", "one", alive=False), info("b", "one")) == [("one", "returned")]


def test_a_node_that_was_never_used_is_neither_lost_nor_back(nodes, ray):
    seen(nodes, ray, info("a", "one"))
    ray.probes["a"].give({"refusal": ("it cannot write", "let it")})
    assert seen(nodes, ray, info("a", "one")) == [("one", "left out")]
    assert seen(nodes, ray, info("a", "one", alive=False)) == []
    seen(nodes, ray, info("b", "one"))
    ray.probes["b"].give({"computes": {}})
    assert seen(nodes, ray, info("b", "one")) == [("one", "used")]


def test_nodes_of_one_name_are_told_apart_and_one_without_room_is_none(nodes, ray):
    ray.listed = [info("a" * 8, "10.0.0.1"), info("b" * 8, "10.0.0.1"), info("c" * 8, "login", cpus=0.0)]
    nodes._list()
    nodes.changes()
    assert [nodes.name(letter * 8) for letter in "ab"] == ["host", "host#bbbbbb"]
    assert set(ray.probes) == {"a" * 8, "b" * 8}


@pytest.fixture
def pool(ray, nodes, tmp_path):
    setup = Setup(
        address="a:1",
        workers=1,
        work="w:f",
        environment={},
        log_directory=str(tmp_path),
        trial_timeout=None,
        request=Request(),
        wait=None,
        check=None,
    )
    seen(nodes, ray, info("a", "one"))
    ray.probes["a"].give({"computes": {}})
    nodes.changes()
    return Pool(ray, setup, nodes)


def advance(pool, ray):
    return pool.advance(ray.wait(pool.pending())[0])


def begin(pool, ray, node_id="a"):
    """Has a job begin on a node; returns its actor."""
    pool.waiting.append(JOB)
    advance(pool, ray)
    assert pool.stuck
    actor = ray.actors[-1]
    actor.started.give(node_id)
    advance(pool, ray)
    return actor


def test_a_job_runs_on_a_node_that_was_checked_and_its_end_names_it(pool, ray):
    actor = begin(pool, ray)
    assert not pool.stuck
    actor.stream.give([])
    actor.stream.give([Finished(JOB.key, JOB.fence, {"score": 1})])
    assert advance(pool, ray) == []
    assert advance(pool, ray) == [Finished(JOB.key, JOB.fence, {"score": 1}, node="one")]


@pytest.mark.parametrize(("given", "seen_by_trials"), [([], ""), ([3], "3")])
def test_a_trial_sees_the_gpus_that_it_asked_for_and_no_others(monkeypatch, tmp_path, given, seen_by_trials):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_gpu_ids=lambda: given))
    ray_seats.Seat("w:f", {}, tmp_path, None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen_by_trials


@pytest.mark.parametrize(("gpus", "before", "after"), [(False, "0,1", ""), (True, "", None), (True, "0,1", "0,1")])
def test_a_node_is_checked_with_the_gpus_that_trials_would_see(monkeypatch, gpus, before, after):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    assert ray_nodes._probe()("no_such_module", {}, gpus) == {"missing": "no_such_module"}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after


def test_an_actor_on_a_node_that_is_new_waits_for_its_check(pool, nodes, ray):
    actor = begin(pool, ray, "b")
    assert pool.stuck and not actor.killed
    seen(nodes, ray, info("a", "one"), info("b", "two"))
    ray.probes["b"].give({"refusal": ("it cannot write", "let it")})
    nodes.changes()
    advance(pool, ray)
    assert actor.killed and list(pool.waiting) == [JOB]
    assert ray.actors[-1].options == {"label_selector": {"ray.io/node-id": "!in(b)"}}


def test_an_actor_that_falls_silent_is_given_up_and_its_job_is_lost(pool, ray, clock):
    actor = begin(pool, ray)
    actor.stream.give([])
    advance(pool, ray)
    for _ in range(5):
        clock.seconds += ray_seats.LEASE_SECONDS / 4
        events = advance(pool, ray)
    (died,) = events
    assert isinstance(died, Died) and died.failure.kind == "lost" and died.node == "one"
    assert "fell silent" in died.failure.message and actor.killed


def test_silence_while_we_were_stopped_ourselves_says_nothing(pool, ray, clock):
    begin(pool, ray).stream.give([])
    advance(pool, ray)
    clock.seconds += 10 * ray_seats.LEASE_SECONDS
    assert advance(pool, ray) == []


def test_an_actor_with_nothing_to_do_is_given_back_after_a_minute(pool, ray, clock):
    actor = begin(pool, ray)
    actor.stream.give([Finished(JOB.key, JOB.fence, {})])
    advance(pool, ray)
    for _ in range(3):
        clock.seconds += ray_seats.IDLE_SECONDS / 2.5
        assert not actor.killed
        advance(pool, ray)
    assert actor.killed and pool.pending() == []
    assert not begin(pool, ray).killed


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RayError("node died"), "lost"), (OutOfMemoryError("killed"), "memory"), (RayTaskError("x"), "crash")],
)
def test_why_an_actor_ended_is_told(pool, ray, error, kind):
    actor = begin(pool, ray)
    actor.stream.give([])
    advance(pool, ray)
    actor.stream.give(error)
    (died,) = advance(pool, ray)
    assert (died.failure.kind, died.node) == (kind, "one")


def test_actors_that_never_begin_end_the_search_unless_they_went_together(pool, ray, clock):
    pool.waiting.append(JOB)
    for number in itertools.count():
        advance(pool, ray)
        ray.actors[-1].started.give(RayError("no memory left"))
        clock.seconds += 1.0 if number < 5 else 11.0
        if number == 6:
            break
    assert list(pool.waiting) == [JOB]
    with pytest.raises(EnvironmentProblem, match="no Ray actor can start: no memory left"):
        advance(pool, ray)
