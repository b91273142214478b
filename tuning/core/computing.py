"""The properties of a machine that can change the last digits of a training."""

from __future__ import annotations

import os
from pathlib import Path

from tuning.core import machine

#: oneDNN's instruction set levels, highest first, with the processor flags that each needs.
_LEVELS = (
    ("avx512_core_amx_fp16", {"amx_fp16", "amx_tile", "avx512f"}),
    ("avx512_core_amx", {"amx_bf16", "amx_int8", "amx_tile"}),
    ("avx512_core_fp16", {"avx512_fp16"}),
    ("avx512_core_bf16", {"avx512_bf16"}),
    ("avx512_core_vnni", {"avx512_vnni"}),
    ("avx512_core", {"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    ("avx2_vnni", {"avx_vnni"}),
    ("avx2", {"avx2"}),
    ("avx", {"avx"}),
    ("sse41", {"sse4_1"}),
)
#: Environment variables that limit oneDNN's level: the current one and the one from its earlier name (DNNL).
LEVEL_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def computes(dtype_policy: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Processor, instruction set, caches (kernels are tuned to their sizes), GPUs and data type, by readable names.

    Args:
        environment: variables that training processes get in addition to this process's.
    """
    variables = {**os.environ, **(environment or {})}
    processor = machine.processor()
    best = level(processor.flags or frozenset())
    pinned = next((variables[name] for name in LEVEL_VARIABLES if variables.get(name)), None)
    facts = {
        "processor": processor.model,
        "oneDNN level": (f"{pinned.lower()} at most; the processor has " if pinned else "") + best,
        "caches": _caches(),
        "GPU": ", ".join(gpu.name for gpu in machine.gpus()),
        "type": dtype_policy,
    }
    return {name: text for name, text in facts.items() if text}


def level(flags: frozenset[str]) -> str:
    """oneDNN's name of the best instruction set among these processor flags; empty if there is none."""
    return next((name for name, needed in _LEVELS if needed <= flags), "")


def _caches() -> str:
    """Sizes of the first core's data caches, from L1 up."""
    sizes = []
    for folder in sorted(_CACHES.glob("index*")):
        try:
            kind, size = ((folder / name).read_text().strip() for name in ("type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            sizes.append(size)
    return " ".join(sizes)
