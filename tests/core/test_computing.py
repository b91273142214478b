"""What a machine computes with."""

from __future__ import annotations

import pytest

from tuning.core import computing, machine
from tuning.core.computing import computes, level


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("sse4_1", "sse41"),
        ("sse4_1 avx", "avx"),
        ("sse4_1 avx avx2", "avx2"),
        ("avx2 avx512f avx512bw avx512vl avx512dq", "avx512_core"),
        ("avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16", "avx512_core_bf16"),
        ("avx2 avx512f avx512_bf16 avx512_fp16 amx_bf16 amx_int8 amx_tile", "avx512_core_amx"),
        ("fpu", ""),
    ],
)
def test_the_level_is_that_of_onednn(flags, name):
    assert level(frozenset(flags.split())) == name


def test_what_is_pinned_is_told_with_what_there_is(monkeypatch):
    processor = machine.Processor("Some Processor", frozenset(["fpu", "sse4_1", "avx", "avx2"]))
    monkeypatch.setattr(machine, "processor", lambda: processor)
    for name in computing.LEVEL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert computes("mixed_bfloat16")["oneDNN level"] == "avx2"
    assert computes("float32")["type"] == "float32"
    pinned = computes("float32", {"ONEDNN_MAX_CPU_ISA": "AVX"})
    assert pinned["oneDNN level"] == "avx at most; the processor has avx2"


def test_caches_are_told_the_nearest_first(monkeypatch, tmp_path):
    for index, (kind, size) in enumerate([("Data", "48K"), ("Instruction", "32K"), ("Unified", "2048K")]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "type").write_text(kind + "\n")
        (folder / "size").write_text(size + "\n")
    monkeypatch.setattr(computing, "_CACHES", tmp_path)
    assert computes("float32")["caches"] == "48K 2048K"
