"""What processes that run trials are told; each case in a process of its own."""

from __future__ import annotations

import importlib.util
import json

import pytest

pytestmark = pytest.mark.tensorflow
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not there")

#: Keep programs however soon they were compiled.
AT_ONCE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

_BUSY = """
import time
from tuning.trials import runtime

runtime.configure(1)
import jax, jax.numpy as jnp

multiply = jax.jit(lambda x: x @ x)
x = jnp.ones((1200, 1200))
multiply(x).block_until_ready()
began, used = time.monotonic(), time.process_time()
while time.monotonic() < began + 1:
    multiply(x).block_until_ready()
print((time.process_time() - used) / (time.monotonic() - began))
"""

_COMPILED = """
import sys
from pathlib import Path
from tuning.trials import runtime

runtime.configure(1)
import jax, jax.numpy as jnp

default_backend = jax.default_backend
jax.default_backend = lambda: sys.argv[2]
runtime.keep_compiled(Path(sys.argv[1]))
jax.default_backend = default_backend
print(float(jax.jit(lambda x: jnp.sin(x).sum())(jnp.ones(3))))
"""


_CONFIGURED = """
import json
import keras
from tuning.trials import runtime
from tuning.trials.spaces import build_model

def state():
    config = keras.config
    return [config.image_data_format(), config.floatx(), config.epsilon(), config.dtype_policy().name]

found = [state()]
runtime.begin_import()
found.append(state())
keras.config.set_image_data_format("channels_first")  # as a builder's module may
runtime.begin_trial(0, "mixed_bfloat16")
found.append(state())
print(json.dumps([*found, build_model("baseline_cnn", {}, (48, 48, 1), 3)[0].count_params()]))
"""


def test_a_person_s_keras_json_is_no_part_of_a_trial(printed_by, tmp_path):
    plain = printed_by(_CONFIGURED, "numpy", KERAS_HOME=str(tmp_path / "empty"))
    own = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3, "backend": "tensorflow"}
    (tmp_path / "keras.json").write_text(json.dumps(own))
    before, *found = printed_by(_CONFIGURED, "numpy", KERAS_HOME=str(tmp_path))
    assert before == ["channels_first", "float16", 1e-3, "float16"]
    assert found == plain[1:]
    assert found[0] == ["channels_last", "float32", 1e-7, "float32"]
    assert found[1] == ["channels_last", "float32", 1e-7, "mixed_bfloat16"]


@needs_jax
def test_jax_computes_on_one_thread(printed_by):
    assert printed_by(_BUSY, "jax") < 1.3


@needs_jax
def test_what_is_compiled_for_a_gpu_is_there_for_the_next_process(printed_by, tmp_path):
    def kept():
        return sorted(path.name for path in tmp_path.glob("gpu/*-cache"))

    first = printed_by(_COMPILED, "jax", str(tmp_path / "gpu"), "gpu", **AT_ONCE)
    programs = kept()
    assert programs
    assert printed_by(_COMPILED, "jax", str(tmp_path / "gpu"), "gpu", **AT_ONCE) == first
    assert kept() == programs


@needs_jax
def test_nothing_is_kept_for_a_processor(printed_by, tmp_path):
    printed_by(_COMPILED, "jax", str(tmp_path / "cpu"), "cpu", **AT_ONCE)
    assert not (tmp_path / "cpu").exists()


_THREADS = """
import json, sys
from tuning.core.errors import UsageError
from tuning.trials import runtime

runtime.configure(1)
import tensorflow as tf

# What a module does while it is imported.
threading = tf.config.threading
threading.set_intra_op_parallelism_threads(3)
threading.set_inter_op_parallelism_threads(2)
said = None
if sys.argv[1:]:
    tf.reduce_sum(tf.ones(3))
try:
    runtime.begin_trial(0, "float32")
except UsageError as error:
    said = [error.problem, error.remedy]
print(json.dumps([threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads(), said]))
"""


def test_threads_that_a_module_of_the_space_has_set_do_not_count(printed_by):
    assert printed_by(_THREADS, "tensorflow") == [1, 1, None]
    _, _, (problem, remedy) = printed_by(_THREADS, "tensorflow", "and computes")
    assert "3 and 2 threads, not 1" in problem
    assert "take tf.config.threading out of the modules of the search space" in remedy
