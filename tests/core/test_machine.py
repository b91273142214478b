from __future__ import annotations

import pytest

from tuning.core import machine

CPUINFO = """processor\t: 0
model name\t: AMD EPYC 9654 96-Core Processor
flags\t\t: fpu sse2 avx2 avx512f {more}

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("more", "native"), [("avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512_bf16x", False), ("", False)]
)
def test_bfloat16_is_native_where_the_processor_multiplies_it(more, native):
    processor = machine.parse_cpuinfo(CPUINFO.format(more=more))
    assert processor.model == "AMD EPYC 9654 96-Core Processor"
    assert {"avx2", "avx512f"} <= processor.flags
    assert machine.bfloat16_is_native(processor, ()) is native


def test_intel_needs_its_matrix_unit_to_be_faster_in_bfloat16():
    features = frozenset(["avx512f", "avx512_bf16"])
    assert not machine.bfloat16_is_native(machine.Processor("Intel(R) Xeon(R) Processor", features), ())
    assert machine.bfloat16_is_native(machine.Processor("Intel(R) Xeon(R) Processor", features | {"amx_bf16"}), ())


def test_a_gpu_that_shares_the_machine_s_memory_counts():
    (gpu,) = machine.parse_gpus("NVIDIA GB10, [N/A], 12.1\n")
    assert (gpu.name, gpu.memory, gpu.capability) == ("NVIDIA GB10", 0, 12.1)


def test_a_gpu_decides_where_there_is_one():
    plain = machine.Processor("plain", frozenset())
    fast = machine.Processor("fast", frozenset(["avx512_bf16"]))
    (new, old) = machine.parse_gpus("NVIDIA H100 80GB HBM3, 81559, 9.0\nTesla T4, 15360, 7.5\n[N/A]\n\nx, y, z\n")
    assert (new.name, new.memory, new.capability) == ("NVIDIA H100 80GB HBM3", 81559 * 2**20, 9.0)
    assert machine.bfloat16_is_native(plain, (new,))
    assert not machine.bfloat16_is_native(fast, (old,))
    assert not machine.bfloat16_is_native(fast, (new, old))
    assert not machine.bfloat16_is_native(machine.Processor("unknown", None), ())


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["A", "B", "C"]),
        ("", []),
        ("-1", []),
        ("1", ["B"]),
        ("2, 0", ["C", "A"]),
        ("GPU-5f1c,GPU-77ab", ["A", "B"]),
        ("0,1,2,3", ["A", "B", "C"]),
    ],
)
def test_a_hidden_gpu_is_none(visible, names, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(machine, "_output", lambda *command: "A, 10, 8.0\nB, 10, 8.0\nC, 10, 8.0\n")
    assert [gpu.name for gpu in machine.gpus.__wrapped__()] == names


def test_containers_limit_cores_and_memory(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    limits = {"cpu.max": ["150000 100000", "max 100000"], "memory.max": ["max", str(2**30)]}
    monkeypatch.setattr(machine, "_cgroup_texts", limits.__getitem__)
    assert machine.usable_cores() == 2
    assert machine.memory().total == 2**30


def test_free_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    assert machine.free_disk(tmp_path / "not" / "yet") > 0
