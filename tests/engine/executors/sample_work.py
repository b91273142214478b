"""Work for executor tests: no TensorFlow, one kind of end each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

print("imported", flush=True)


def run(kind, payload, report):
    print("library noise on stdout")
    if kind == "echo":
        report({"epoch": 1})
        return {"payload": dict(payload), "pid": os.getpid()}
    if kind == "raise":
        raise ValueError("a bad\nconfiguration")
    if kind == "raise-this":
        raise payload["error"]
    if kind == "signal":
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), payload["signal"])
        time.sleep(60)
    if kind == "exit":
        os._exit(payload["code"])
    if kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return {"woke": True}
    if kind == "sleep":
        time.sleep(payload["seconds"])
        return {"pid": os.getpid()}
    if kind == "environment":
        return {name: os.environ.get(name) for name in payload["names"]}
    if kind == "child":
        queue = multiprocessing.Queue()
        child = multiprocessing.Process(target=queue.put, args=(1,))
        child.start()
        return {"got": queue.get(timeout=20)}
    if kind == "move":
        os.chdir(payload["folder"])
    if kind in ("move", "where"):
        return {"folder": os.getcwd()}
    if kind == "stdin":
        breakpoint()
        return {"read": sys.stdin.read()}
    if kind == "parent":
        children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])]
        forked = os.fork()
        if not forked:
            time.sleep(60)
            os._exit(0)
        report({"epoch": 1, "pid": children[0].pid, "forked": forked})
        if payload.get("signal"):
            os.kill(os.getpid(), payload["signal"])
        time.sleep(60)
    if kind == "greedy":
        raise MemoryError("too much")
    if kind == "full-disk":
        raise OSError(28, "No space left on device", "/some/checkpoint")
    raise AssertionError(kind)
