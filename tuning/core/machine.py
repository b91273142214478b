"""Facts about this machine that need no heavy import: processor, cores, memory, disk, GPUs."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

#: Processor features that determine training speed: wide vectors, and two kinds of native bfloat16 multiplication.
FEATURES = {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}
#: NVIDIA GPUs multiply bfloat16 natively from this compute capability on (Ampere).
BFLOAT16_CAPABILITY = 8.0

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Processor:
    """A processor: its model name, and its feature flags in Linux's spelling (None where unknown)."""

    model: str
    flags: frozenset[str] | None


@dataclass(frozen=True)
class Memory:
    """Memory in bytes, container limits considered; None where unknown."""

    total: int | None
    available: int | None


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: its memory in bytes (0: it shares the machine's) and its CUDA compute capability."""

    name: str
    memory: int
    capability: float


@cache
def processor() -> Processor:
    if _CPUINFO.is_file():
        return parse_cpuinfo(_CPUINFO.read_text(errors="replace"))
    if sys.platform == "darwin":
        # Apple's own processors have none of these features; Intel Macs have no supported TensorFlow any more.
        return Processor(_output("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine(), None)
    return Processor(platform.processor() or platform.machine() or "unknown", None)


def parse_cpuinfo(text: str) -> Processor:
    """The first processor of Linux's /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags")
    return Processor(
        model=fields.get("model name") or platform.machine() or "unknown",
        flags=None if flags is None else frozenset(flags.split()),
    )


def usable_cores() -> int:
    """Cores that this process may use, limited by its affinity and its container's CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for text in _cgroup_texts("cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


def memory() -> Memory:
    fields = parse_meminfo(_MEMINFO.read_text()) if _MEMINFO.is_file() else {}
    total, available = fields.get("MemTotal"), fields.get("MemAvailable")
    if sys.platform == "darwin":
        size = _output("sysctl", "-n", "hw.memsize").strip()
        total = int(size) if size.isdigit() else None
    for text in _cgroup_texts("memory.max"):
        if text.isdigit():
            limit = int(text)
            total = limit if total is None else min(total, limit)
            available = None if available is None else min(available, limit)
    return Memory(total, available)


def parse_meminfo(text: str) -> dict[str, int]:
    """Bytes by name, from Linux's /proc/meminfo."""
    result = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isdigit() and unit == "kB":
            result[name] = int(number) * 1024
    return result


def is_running(process: int) -> bool:
    """Whether a process with this id exists. Not for Windows, where `os.kill(process, 0)` would end the process."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def free_disk(path: Path) -> int:
    """Bytes available to this user on the file system that holds, or would hold, `path`."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


@cache
def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that this process may use: those that nvidia-smi lists and CUDA_VISIBLE_DEVICES does not hide.

    CUDA may number different GPUs in another order than nvidia-smi, unless CUDA_DEVICE_ORDER is PCI_BUS_ID.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return ()
    listed = parse_gpus(
        _output("nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits")
    )
    if visible is None:
        return listed
    chosen = [name.strip() for name in visible.split(",")]
    if all(name.isdecimal() and int(name) < len(listed) for name in chosen):
        return tuple(listed[int(name)] for name in chosen)
    # GPUs named by UUID cannot be told apart here; their number is known.
    return listed[: len(chosen)]


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """One GPU a line: name, MiB, compute capability; lines of another form are skipped."""
    result = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        try:
            memory = 0 if parts[1] in ("[N/A]", "[Not Supported]") else int(parts[1]) * 2**20
            result.append(Gpu(parts[0], memory, float(parts[2])))
        except (ValueError, IndexError):
            continue
    return tuple(result)


def has_bfloat16() -> bool:
    """Whether bfloat16 is faster than float32 here: every visible GPU multiplies it natively, else the processor."""
    return bfloat16_is_native(processor(), gpus())


def bfloat16_is_native(cpu: Processor, visible: tuple[Gpu, ...]) -> bool:
    if visible:
        return all(gpu.capability >= BFLOAT16_CAPABILITY for gpu in visible)
    flags = cpu.flags or frozenset()
    # On Intel without the matrix unit (which a virtual machine may hide) bfloat16 takes 1.5 to 1.8 times as long.
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "intel" not in cpu.model.lower())


def facts(path: Path) -> dict[str, Any]:
    """All of these facts as plain JSON values; the free disk space is that of the file system of `path`."""
    cpu, store = processor(), memory()
    return {
        "platform": platform.platform(),
        "processor": cpu.model,
        "features": None if cpu.flags is None else sorted(cpu.flags & FEATURES),
        "cores": usable_cores(),
        "memory_total": store.total,
        "memory_available": store.available,
        "disk_free": free_disk(path),
        "gpus": [{"name": gpu.name, "memory": gpu.memory, "capability": gpu.capability} for gpu in gpus()],
        "bfloat16": has_bfloat16(),
    }


def _cgroup_texts(name: str) -> list[str]:
    """The content of control file `name` in this process's control group (version 2) and in all groups above it."""
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
    except OSError:
        return []
    texts = []
    for folder in (_CGROUP / own, *(_CGROUP / own).parents):
        try:
            texts.append((folder / name).read_text().strip())
        except OSError:
            continue
    return texts


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
