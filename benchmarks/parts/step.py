"""Training throughput of a one-thread worker per core, against plain Keras and the processor's peak."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.context import Context
from benchmarks.processes import Child, closing_all, together
from benchmarks.report import Report, Target
from tuning.core import machine
from tuning.trials.runtime import environment

SPACE = "benchmarks.spaces:usual_cnn"


def measure(context: Context) -> Report:
    """Alternate our epochs with those of plain Keras: the same model, images and batch size."""
    folder, pairs = context.folder("step"), 7 if context.full else 3
    # Hardly any validation images: plain Keras does not validate, and our epochs should consist of training steps too.
    sample = context.sample(12_000 if context.full else 2_800, "96/2/2")
    root, cores = sample.workspace.root, machine.usable_cores()
    one_thread = environment("tensorflow", 1)
    context.say(f"multiplying matrices with {cores} one-thread processes")
    peak = _peak(folder, "before", cores, one_thread)
    rates, about, dtype = in_turn(context, folder, root, "tensorflow", pairs)
    after = _peak(folder, "after", cores, one_thread)
    peak = {name: max(peak[name], after[name]) for name in peak}
    ratios = [one / other for one, other in zip(rates["ours"], rates["plain"], strict=True)]
    flops = about["flops"]
    rows = [
        [f"{cores} workers, one thread each, {dtype}", *_row(rates["ours"], flops, peak)],
        ["plain Keras fit, default threads, float32", *_row(rates["plain"], flops, peak)],
        *([f"GEMM peak, {name}", rate / flops, rate / 1e9, None, None] for name, rate in peak.items()),
    ]
    if "amx_bf16" in (machine.processor().flags or ()):
        vectors = _peak(folder, "vectors", cores, {**one_thread, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"})["bfloat16"]
        rows.append(["GEMM peak, bfloat16 by AVX-512 instead of AMX", vectors / flops, vectors / 1e9, None, None])
        peak["bfloat16 by AVX-512"] = vectors
    native = machine.has_bfloat16()
    best = peak["bfloat16"] if native else peak["float32"]
    return Report(
        ("what", "images/s", "GFLOP/s", "of float32 peak", "of bfloat16 peak"),
        rows,
        targets=(
            Target("step throughput, ours ÷ plain Keras", median(ratios), 4.0 if native else 2.5),
            Target("our steps ÷ GEMM peak of the fastest type", median(rates["ours"]) * flops / best, 0.55),
        ),
        notes=(
            f"Medians of {pairs} pairs in turn; ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}.",
            f"{about['parameters']:,} parameters, {flops / 1e6:.0f} MFLOP to train on an image; the fastest matrix "
            "product of three sizes, before and after, on all cores at once.",
        ),
        data=sample.to_json(),
        details={"images_per_second": rates, "ratios": ratios, "gemm_flops": peak, "flops_per_image": flops},
    )


def in_turn(
    context: Context, folder: Path, root: Path, backend: str, pairs: int
) -> tuple[dict[str, list[float]], dict[str, Any], str]:
    """Alternate epochs of our workers, one with one thread per core, with epochs of plain Keras on all cores.

    Returns:
        Images per second of "ours" and "plain", one number per pair; the first answer of plain Keras, which describes
        the model; our dtype policy.
    """
    one_thread = environment(backend, 1)
    ours = [
        Child(
            ["-m", "benchmarks.children.our_trial", root, SPACE, f"step-{backend}-{slot}", "auto"],
            folder / f"{backend}-{slot}.log",
            one_thread,
        )
        for slot in range(machine.usable_cores())
    ]
    plain = Child(
        ["-m", "benchmarks.children.plain_fit", root], folder / f"{backend}-plain.log", {"KERAS_BACKEND": backend}
    )
    with closing_all((*ours, plain)):
        context.say(f"{backend}: warming up")
        together(ours)
        about = plain.round()
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for pair in range(pairs):
            context.say(f"{backend}: pair {pair + 1} of {pairs}")
            answers = together(ours)
            images = sum(answer["images"] for answer in answers)
            rates["ours"].append(images / max(answer["seconds"] for answer in answers))
            answer = plain.round()
            rates["plain"].append(answer["images"] / answer["seconds"])
    return rates, about, answers[0]["dtype"]


def _row(rates: list[float], flops: int, peak: dict[str, float]) -> list[float]:
    rate = median(rates)
    return [rate, rate * flops / 1e9, rate * flops / peak["float32"], rate * flops / peak["bfloat16"]]


def _peak(folder, name: str, cores: int, one_thread) -> dict[str, float]:
    """Return floating-point operations per second of all cores together, by dtype."""
    children = [
        Child(["-m", "benchmarks.children.gemm"], folder / f"gemm-{name}-{core}.log", one_thread)
        for core in range(cores)
    ]
    with closing_all(children):
        answers = together(children)
    return {name: sum(answer[name] for answer in answers) for name in answers[0]}
