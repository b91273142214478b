"""Shows that a search survives anything and always gives the same answer; Linux only.

python -m stress                                        # 20 searches killed 10 times each, a Ray cluster, …: an hour
python -m stress --searches 2 --kills 5 --errors-every 10
python -m stress faults replay                          # some parts only
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = ("replay", "faults", "toy-kills", "kills", "cluster")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--searches", type=int, default=20, metavar="N", help="searches with TensorFlow (20)")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="kills of each of them (10)")
    parser.add_argument("--cases", type=int, default=10_000, metavar="N", help="damaged journals (10000)")
    parser.add_argument(
        "--errors-every", type=int, default=1, metavar="N", help="disk errors at every N-th operation only (1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments and targets of kills (0)")
    parser.add_argument("--out", type=Path, default=Path("stress.json"), metavar="FILE", help="figures (stress.json)")
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = options()
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    for name in ("searches", "kills", "cases", "errors_every"):
        if (value := getattr(args, name)) < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}: give 1 or more")
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="stress-") as scratch:
        for name, part in _parts(args).items():
            if args.parts and name not in args.parts:
                continue
            print(f"{name} …", flush=True)
            folder = Path(scratch, name)
            folder.mkdir()
            began = time.monotonic()
            results[name] = {**part(folder), "seconds": round(time.monotonic() - began, 1)}
            args.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(table(results))
    return 0 if all(result["passed"] for result in results.values()) else 1


def _parts(args: argparse.Namespace) -> dict[str, Callable[[Path], dict[str, Any]]]:
    from stress import cluster, faults, kills, replay, toy_kills

    return {
        "replay": lambda folder: replay.main(folder, args.cases),
        "faults": lambda folder: faults.main(folder, error_every=args.errors_every),
        "toy-kills": lambda folder: toy_kills.main(folder, seed=args.seed),
        "kills": lambda folder: kills.main(folder, args.searches, args.kills, args.seed),
        "cluster": cluster.main,
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Format one line per part: passed or failed, seconds, figures."""
    lines = []
    for name, result in results.items():
        figures = ", ".join(
            f"{key.replace('_', ' ')} {value}"
            for key, value in result.items()
            if key not in ("passed", "seconds", "each") and value not in ([], {})
        )
        lines.append(f"{name:<10} {'passed' if result['passed'] else 'FAILED'}  {result['seconds']:>7} s  {figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
