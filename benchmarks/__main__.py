"""Measures this package against plain Keras, against plain Keras Tuner and against the machine; Linux only.

python -m benchmarks                      # a small run of all parts but the last four: ten minutes on two cores
python -m benchmarks step search          # some parts only
python -m benchmarks --full               # all of them, thoroughly: hours

Each part prints a table and writes a JSON file. Anything else that the machine does meanwhile spoils the figures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

#: Part name -> module, in the order in which the parts run.
PARTS = {
    "start": "benchmarks.parts.start",
    "step": "benchmarks.parts.step",
    "feeding": "benchmarks.parts.feeding",
    "workers": "benchmarks.parts.workers",
    "overhead": "benchmarks.parts.overhead",
    "memory": "benchmarks.parts.memory",
    "search": "benchmarks.parts.search",
    "time-to-quality": "benchmarks.parts.quality",
    "prepare": "benchmarks.parts.prepare",
    "loop": "benchmarks.parts.loop",
    "less": "benchmarks.parts.less",
    "bfloat16": "benchmarks.parts.bfloat16",
    "backends": "benchmarks.parts.backends",
    "gpu": "benchmarks.parts.gpu",
}
#: Parts that run only if named or with --full.
LONG = ("less", "bfloat16", "backends", "gpu")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="more data, more epochs, more repetitions")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().with_name("results"),
        metavar="DIR",
        help="where the JSON files go (benchmarks/results)",
    )
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where to work (a temporary folder)")
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = options()
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    chosen = [name for name in PARTS if name in args.parts or (not args.parts and (args.full or name not in LONG))]

    from benchmarks.context import Context
    from benchmarks.report import circumstances

    args.out.mkdir(parents=True, exist_ok=True)
    about = circumstances(args.out)
    machine = about["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, {' '.join(machine['features'] or [])}; {about['date']}")
    if os.getloadavg()[0] > machine["cores"] / 4:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}): these figures will mean little")
    targets = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=args.scratch) as scratch:
        context = Context(Path(scratch), args.full, say=lambda text: print(f"  {text} …", flush=True))
        for name in chosen:
            print(f"\n{name}", flush=True)
            before, began = circumstances(args.out), time.monotonic()
            report = importlib.import_module(PARTS[name]).measure(context)
            seconds = round(time.monotonic() - began, 1)
            record = {"part": name, "full": args.full, "seconds": seconds, **before, **report.to_json()}
            (args.out / f"{name}.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            print(f"{report.text()}\n({seconds} s; {_data(report.data)})", flush=True)
            targets += report.targets
    print("\n".join(["", *(target.text() for target in targets), f"JSON files: {args.out}"]))
    return 0


def _data(data: dict | None) -> str:
    if data is None:
        return "no images"
    images = data["images"]
    counts = f"{images:,}" if isinstance(images, int) else ", ".join(f"{name} {n:,}" for name, n in images.items())
    return f"{data['source']}: {counts} images"


if __name__ == "__main__":
    # SIGTERM raises SystemExit, so that child processes are ended and the scratch folder is removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
