"""Turns a folder of face images into a pool, a split and arrays.

  python -m tuning.prepare --raw ~/Downloads/fer2013    # class folders, a YOLO export, or a FER2013 CSV
  python -m tuning.prepare                               # the images in data/raw_yolo
  python -m tuning.prepare --raw faces --image-size 96 --color rgb
  python -m tuning.prepare --raw ck48 more.zip --aliases emotions --group-by '(S[0-9]+)_'

The layout of the data set is detected. The split is made once and kept: images added later extend it, and no image
ever moves to another part. Running the command again on unchanged images does nothing.

reads   --raw, which is never changed
writes  data/cls_pool/, data/cls_data/, data/data_state.json, and in artifacts/outputs/ class_names.json,
        pool_manifest.json, pool_summary.json, split_manifest.json, pool_report.html
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import cli
from tuning.core.options import RARE
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.dataset.summary import PreparedDataset


def options() -> argparse.ArgumentParser:
    parser = cli.parser("prepare", __doc__)
    parser.add_argument(
        "--raw",
        type=Path,
        nargs="+",
        action="extend",
        metavar="PATH",
        help="folder, CSV file, zip or tar archive with your images; several are combined into one data set "
        "(default: ROOT/data/raw_yolo)",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX|FILE",
        help="keep the images of a person in one part of the split: a regular expression that finds the person in an "
        "image's path, such as '(S[0-9]+)_', or a CSV file with the columns file,group (default: persons unknown)",
    )
    parser.add_argument(
        "--aliases",
        metavar="NAME=LABEL,…",
        help="rename classes, such as anger=angry,happiness=happy; `emotions` unifies the usual names of emotions "
        "(default: none)",
    )
    parser.add_argument(
        "--image-size", type=int, default=48, metavar="N", help="height and width in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--color",
        choices=("gray", "rgb"),
        default="gray",
        help="convert images to grayscale or RGB (default: %(default)s)",
    )
    parser.add_argument(
        "--crop",
        choices=("box", "image"),
        default="box",
        help="for YOLO exports: use each labelled face box, or its whole image (default: %(default)s)",
    )
    parser.add_argument(
        "--split", default="70/15/15", metavar="A/B/C", help="percentages of train/val/test (default: 70/15/15)"
    )
    rare = parser.add_argument_group(RARE)
    rare.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split (default: %(default)s)")
    rare.add_argument(
        "--on-bad",
        choices=("skip", "stop"),
        default="skip",
        help="skip unusable images and list them, or stop at the first (default: %(default)s)",
    )
    rare.add_argument(
        "--on-conflict",
        choices=("drop", "keep", "majority"),
        default="drop",
        help="images with equal pixels but different labels: drop all, keep all, or keep those with the majority label "
        "(default: %(default)s)",
    )
    rare.add_argument(
        "--accept-removed",
        action="store_true",
        help="continue although images of the existing split have been removed",
    )
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    from tuning.dataset.preparation import prepare_dataset
    from tuning.dataset.splitting.split import parse_ratios

    prepared = prepare_dataset(
        workspace,
        args.raw,
        image_size=args.image_size,
        color=args.color,
        ratios=parse_ratios(args.split),
        seed=args.seed,
        on_bad=args.on_bad,
        crop=args.crop,
        on_conflict=args.on_conflict,
        aliases=args.aliases,
        group_by=args.group_by,
        accept_removed=args.accept_removed,
        progress=console,
    )
    result = {
        "changed": prepared.changed,
        "added": prepared.added,
        "removed": prepared.removed,
        "dataset": asdict(prepared.info),
        "summary": prepared.summary.to_json(),
        "outputs": str(workspace.outs),
    }
    return result, _text(prepared, workspace)


def _text(prepared: PreparedDataset, workspace: Workspace) -> str:
    info = prepared.info
    lines = [prepared.summary.text(), ""]
    if not prepared.changed:
        lines.append("Nothing has changed since this was prepared; nothing was done.")
    elif prepared.removed:
        lines.append(f"{prepared.added:,} images were added to the split, {prepared.removed:,} removed from it.")
    shape = "×".join(map(str, info.input_shape))
    lines.append(f"Arrays of {shape} in {workspace.split}, manifests in {workspace.outs}; digest {info.digest[:12]}")
    lines.append(f"Report: {workspace.pool_report}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
