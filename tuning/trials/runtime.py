"""Fixed arithmetic: the same seed and settings give the same bits, whoever runs the trial."""

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

#: What `keep_compiled` keeps at most: a program takes one megabyte or a few.
COMPILED_BYTES = 2**30

#: What Keras calls the state of a seed generator.
SEED_STATE = "seed_generator_state"

#: What this process was told to compute with; None: it was not.
_threads: int | None = None

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def environment(backend: str, threads: int) -> Mapping[str, str]:
    """Environment variables that a process must start with to run trials: libraries read them on import."""
    more = _for_jax(threads) if backend == "jax" else {}
    return {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "PYTHONHASHSEED": "0",
        # Whoever pins oneDNN to an instruction set means it on every machine.
        **{name: os.environ[name] for name in LEVEL_VARIABLES if os.environ.get(name)},
        # Activations live in huge pages: with 4 KB ones, looking addresses up takes a tenth of a training step.
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES") or "glibc.malloc.hugetlb=1",
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        **more,
    }


def _for_jax(threads: int) -> Mapping[str, str]:
    """JAX is deterministic on a GPU only if told so, and takes a GPU whole."""
    flags = [
        f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}",
        f"intra_op_parallelism_threads={threads}",
        "--xla_gpu_deterministic_ops=true",
    ]
    given = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in flags]
    return {"XLA_FLAGS": " ".join([*given, *flags]), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def configure(threads: int) -> None:
    """Sets thread counts and op determinism; to be called before the first operation.

    Idempotent: a process that runs many trials calls it for each.

    Raises:
        UsageError: the backend has computed with another number of threads, which cannot be changed any more.
    """
    global _threads
    _threads = threads
    import cv2
    import keras

    cv2.setNumThreads(0)
    if not gc.get_freeze_count():
        # Libraries stay; looking for garbage among them takes a third of a second at the start of every trial.
        gc.freeze()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        _use_threads(threads)
        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "jax":
        # On a processor, its threads are as many as it believes there are cores, flags or no. With one, it would never
        # end compiling for a GPU; that is for each node of a cluster to know.
        if not machine.gpus():
            os.environ["NPROC"] = str(threads)
    elif keras.backend.backend() == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else all new memory is filled first, for a third of a training step, against reads of uninitialised memory.
        torch.utils.deterministic.fill_uninitialized_memory = False


def _use_threads(threads: int) -> None:
    """Has TensorFlow compute with so many threads; see `configure`."""
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
    """Has JAX keep in `folder` what it compiles for a GPU, for the other workers and for searches to come."""
    import keras

    if keras.backend.backend() != "jax":
        return
    import jax

    # What it compiles for a processor depends on more than its key tells.
    if jax.default_backend() != "cpu" and jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", COMPILED_BYTES)


def use_keras_defaults() -> None:
    """Sets what no job records, as Keras has it where no `keras.json` of a person's says otherwise."""
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    # Keras makes it of the float type, but once.
    keras.config.set_dtype_policy("float32")


def begin_import() -> None:
    """Seeds what a builder's module may draw while it is imported: in every process alike."""
    import keras

    use_keras_defaults()
    keras.utils.set_random_seed(0)


def begin_trial(seed: int, dtype_policy: str) -> None:
    """Forgets the last trial's graphs, seeds Python, NumPy and the backend, and sets the dtype policy."""
    import keras

    # Again: a builder's module may have set them, and is imported by the first trial of a process alone.
    use_keras_defaults()
    if _threads is not None:
        configure(_threads)
    keras.utils.clear_session()
    # Only now: clearing the session also forgets the policy, in silence.
    keras.config.set_dtype_policy(dtype_policy)
    keras.utils.set_random_seed(keyed_seed(seed, "initialise"))
    make_shared_seed_generator()


def begin_tracing(seed: int, *key: object) -> None:
    """Keys what a graph draws while it is made, and the seeds of what it draws later, by the trial: whichever process
    makes it, after whatever epoch."""
    import keras

    traced = keyed_seed(seed, "trace", *key)
    random.seed(traced)
    np.random.seed(traced)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(traced)


def begin_epoch(model: keras.Model, seed: int, epoch: int, others: Sequence[Any] = ()) -> None:
    """Keys every source of randomness by (seed, epoch), so that a resumed epoch draws what it would have drawn.

    Dropout and its like draw from the state of their seed generators, which a resume would otherwise leave behind.
    Not `keras.utils.set_random_seed`: on TensorFlow it throws away every compiled kernel, half a second an epoch.

    Args:
        others: states of generators that a step draws from beside the model's and the shared one.
    """
    import keras

    epoch_seed = keyed_seed(seed, "epoch", epoch)
    random.seed(epoch_seed)
    np.random.seed(epoch_seed)
    if keras.backend.backend() == "torch":
        import torch

        # Keras's dropout draws from PyTorch's own generator there, whatever the layer's seed.
        torch.manual_seed(epoch_seed)
    for index, variable in enumerate([*seed_states(model), *others]):
        dtype = getattr(variable.dtype, "as_numpy_dtype", variable.dtype)
        variable.assign(np.array([keyed_seed(seed, "layer", index, epoch), 0], dtype=dtype))


def seed_states(model: keras.Model) -> list[Any]:
    """The state variables of all seed generators: the model's in layer order, then Keras's global one if it is used."""
    states = [variable for variable in model.variables if is_seed_state(variable)]
    shared = shared_seed_generator()
    return states if shared is None else [*states, shared.state]


def is_seed_state(variable: keras.Variable) -> bool:
    return variable.name == SEED_STATE
