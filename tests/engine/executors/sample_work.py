"""Work for executor tests: no TensorFlow, one kind of end each."""

from __future__ import annotations

import os
import signal
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
    if kind == "full-disk":
        raise OSError(28, "No space left on device", "/some/checkpoint")
    raise AssertionError(kind)
