"""Reproducible arithmetic: the same seed and settings give the same bits, whichever process runs the trial."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core import machine
from tuning.core.computing import LEVEL_VARIABLES
from tuning.core.errors import UsageError
from tuning.core.records import keyed_seed
from tuning.trials.keras_private import make_shared_seed_generator, shared_seed_generator

if TYPE_CHECKING:
    import keras

#: Largest size of the cache of `keep_compiled`: a program takes one or a few megabytes.
COMPILED_BYTES = 2**30

#: Keras's name for the state of a seed generator.
SEED_STATE = "seed_generator_state"

#: Number of threads that `configure` has set in this process; None: not yet.
_threads: int | None = None

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def environment(backend: str, threads: int) -> Mapping[str, str]:
    """Returns the environment variables that a process needs before it starts: libraries read them on import."""
    more = _for_jax(threads) if backend == "jax" else {}
    return {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "PYTHONHASHSEED": "0",
        # An instruction set that the user pinned for oneDNN holds on every machine.
        **{name: os.environ[name] for name in LEVEL_VARIABLES if os.environ.get(name)},
        # Huge pages for activations: with 4 KB pages, address translation takes a tenth of a training step.
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES") or "glibc.malloc.hugetlb=1",
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        **more,
    }


def _for_jax(threads: int) -> Mapping[str, str]:
    """Returns the variables for JAX, which by default is not deterministic on a GPU and preallocates its memory."""
    flags = [
        f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}",
        f"intra_op_parallelism_threads={threads}",
        "--xla_gpu_deterministic_ops=true",
    ]
    given = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in flags]
    return {"XLA_FLAGS": " ".join([*given, *flags]), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def configure(threads: int) -> None:
    """Sets thread counts and op determinism; must be called before the first operation.

    Idempotent: a process that runs many trials calls it for each.

    Raises:
        UsageError: the backend has already computed with another number of threads, which can no longer be changed.
    """
    global _threads
    _threads = threads
    import cv2
    import keras

    cv2.setNumThreads(0)
    if not gc.get_freeze_count():
        # Excludes library objects from garbage collection, which costs a third of a second at the start of every trial.
        gc.freeze()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        _use_threads(threads)
        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "jax":
        # On a CPU, JAX starts as many threads as it believes there are cores, whatever the flags. Where there is a GPU,
        # which only the node itself knows, compiling with one thread would never end.
        if not machine.gpus():
            os.environ["NPROC"] = str(threads)
    elif keras.backend.backend() == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Otherwise PyTorch fills all new memory, which takes a third of a training step.
        torch.utils.deterministic.fill_uninitialized_memory = False


def _use_threads(threads: int) -> None:
    """Sets TensorFlow's number of threads; see `configure`."""
    import tensorflow as tf

    given = tf.config.threading
    before = given.get_intra_op_parallelism_threads(), given.get_inter_op_parallelism_threads()
    if before == (threads, threads):
        return
    try:
        given.set_intra_op_parallelism_threads(threads)
        given.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise UsageError(
            f"TensorFlow has begun to compute in this process with {before[0]} and {before[1]} threads, not {threads}",
            "take tf.config.threading out of the modules of the search space; with --executor inline, in a process "
            "that used TensorFlow before, leave that option out",
        ) from error


def keep_compiled(folder: Path) -> None:
    """Makes JAX cache programs compiled for a GPU in `folder`, for other workers and later searches."""
    import keras

    if keras.backend.backend() != "jax":
        return
    import jax

    # Not for a CPU: those programs depend on more than the cache key contains.
    if jax.default_backend() != "cpu" and jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", COMPILED_BYTES)


def use_keras_defaults() -> None:
    """Resets Keras settings that no job records to Keras's defaults, whatever the user's `keras.json` says."""
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    # Keras derives the policy from the float type only once.
    keras.config.set_dtype_policy("float32")


def begin_import() -> None:
    """Seeds the random numbers that a builder's module may draw while it is imported, equally in every process."""
    import keras

    use_keras_defaults()
    keras.utils.set_random_seed(0)


def begin_trial(seed: int, dtype_policy: str) -> None:
    """Clears the last trial's graphs, seeds Python, NumPy and the backend, and sets the dtype policy."""
    import keras

    # Again: a builder's module may have changed them, and only the first trial of a process imports it.
    use_keras_defaults()
    if _threads is not None:
        configure(_threads)
    keras.utils.clear_session()
    # Only now: clearing the session silently resets the policy.
    keras.config.set_dtype_policy(dtype_policy)
    keras.utils.set_random_seed(keyed_seed(seed, "initialise"))
    make_shared_seed_generator()


def begin_tracing(seed: int, *key: object) -> None:
    """Seeds the random numbers that tracing a graph draws, and those that the graph draws later, by the trial.

    They are then independent of the process that traces it, and of the epoch after which it does.
    """
    import keras

    traced = keyed_seed(seed, "trace", *key)
    random.seed(traced)
    np.random.seed(traced)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(traced)


def begin_epoch(model: keras.Model, seed: int, epoch: int, others: Sequence[Any] = ()) -> None:
    """Seeds every source of randomness by (seed, epoch), so that a resumed training draws the same numbers.

    Dropout and similar layers draw from the states of their seed generators, which a resume would otherwise not
    restore. `keras.utils.set_random_seed` is not used because on TensorFlow it discards every compiled kernel, which
    costs half a second per epoch.

    Args:
        others: states of further generators that a step uses, besides the model's and Keras's global one.
    """
    import keras

    epoch_seed = keyed_seed(seed, "epoch", epoch)
    random.seed(epoch_seed)
    np.random.seed(epoch_seed)
    if keras.backend.backend() == "torch":
        import torch

        # On PyTorch, Keras's dropout draws from PyTorch's own generator, whatever the layer's seed.
        torch.manual_seed(epoch_seed)
    for index, variable in enumerate([*seed_states(model), *others]):
        dtype = getattr(variable.dtype, "as_numpy_dtype", variable.dtype)
        variable.assign(np.array([keyed_seed(seed, "layer", index, epoch), 0], dtype=dtype))


def seed_states(model: keras.Model) -> list[Any]:
    """Returns the states of all seed generators: the model's in layer order, then Keras's global one if it is used."""
    states = [variable for variable in model.variables if is_seed_state(variable)]
    shared = shared_seed_generator()
    return states if shared is None else [*states, shared.state]


def is_seed_state(variable: keras.Variable) -> bool:
    return variable.name == SEED_STATE
