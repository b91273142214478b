"""Draws a labelled data set of synthetic faces.

  python -m tuning.demo --root demo-workspace
  python -m tuning.demo --root demo-small --per-class 60 --classes happy,sad,surprise --image-size 48

The faces are drawn, not photographed: seven emotions, as in FER2013, mildly imbalanced. The same settings give the same
images, and running the command again changes nothing. A workspace that holds other data is refused.

reads   nothing
writes  data/raw_yolo/<label>/
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from tuning import cli
from tuning.core.workspace import Workspace


def options() -> argparse.ArgumentParser:
    parser = cli.parser("demo", __doc__)
    parser.add_argument(
        "--per-class",
        type=int,
        default=200,
        metavar="N",
        help="images in the largest of the seven classes; the smallest has 60 %% of that (default: 200)",
    )
    parser.add_argument(
        "--classes",
        default="7",
        metavar="N|NAMES",
        help="class names, or how many of angry, disgust, fear, happy, neutral, sad, surprise, taken in that order "
        "(default: 7)",
    )
    parser.add_argument(
        "--image-size", type=int, default=64, metavar="PIXELS", help="width and height, 48 to 512 (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from demo_faces import choose_classes, write_demo_faces

    classes = choose_classes(args.classes)
    faces = write_demo_faces(workspace, args.per_class, classes, args.seed, args.image_size, console)
    total = sum(faces.counts.values())
    per_class = ", ".join(f"{label} {count}" for label, count in faces.counts.items())
    drawn = f"{faces.written:,} of them drawn now" if faces.written else "all there already, nothing drawn"
    state = "" if faces.written == total else f" ({drawn})"
    text = (
        f"{total:,} synthetic faces of {faces.image_size} × {faces.image_size} pixels in {faces.folder}{state}\n"
        f"{per_class}\n"
        f"next: python -m tuning.prepare --root {shlex.quote(str(workspace.root))}"
    )
    return faces.to_json(), text


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
