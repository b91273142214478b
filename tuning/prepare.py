"""Turns a folder of face images into a pool, a split and packed arrays, ready for a search.

  python -m tuning.prepare --raw ~/Downloads/fer2013    # class folders, a YOLO export, or a FER2013 CSV
  python -m tuning.prepare                               # what lies in data/raw_yolo
  python -m tuning.prepare --raw faces --image-size 96 --color rgb
  python -m tuning.prepare --raw ck48 more.zip --aliases emotions --group-by '(S[0-9]+)_'

What kind of data set it is, is found by looking. The split is made once and reused ever after: images that are added
later extend it, and no image ever changes sides. Running it again on an unchanged folder does nothing.

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
        help="the folder, CSV file, zip or tar archive with your images; several make one data set "
        "(default: ROOT/data/raw_yolo)",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX|FILE",
        help="who is on an image: an expression that finds the person in its path, such as '(S[0-9]+)_', or a CSV file "
        "with the columns file,group; a person is in one split only (default: nobody knows)",
    )
    parser.add_argument(
        "--aliases",
        metavar="NAME=LABEL,…",
        help="rename classes, such as anger=angry,happiness=happy; `emotions` stands for the usual names of emotions "
        "(default: none)",
    )
    parser.add_argument(
        "--image-size", type=int, default=48, metavar="N", help="height and width in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--color", choices=("gray", "rgb"), default="gray", help="colours of the images (default: %(default)s)"
    )
    parser.add_argument(
        "--crop",
        choices=("box", "image"),
        default="box",
        help="YOLO exports: a sample is the labelled face, or its whole image (default: %(default)s)",
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
        help="leave out images that cannot be used and list them, or stop at the first (default: %(default)s)",
    )
    rare.add_argument(
        "--on-conflict",
        choices=("drop", "keep", "majority"),
        default="drop",
        help="equal pixels with different labels: leave out all, keep all, or what most say (default: %(default)s)",
    )
    rare.add_argument(
        "--accept-removed",
        action="store_true",
        help="go on although images that have a place in the split are gone",
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
        lines.append(f"{prepared.added:,} images got a place in the split, {prepared.removed:,} lost theirs.")
    shape = "×".join(map(str, info.input_shape))
    lines.append(f"Arrays of {shape} in {workspace.split}, manifests in {workspace.outs}; digest {info.digest[:12]}")
    lines.append(f"To look at: {workspace.pool_report}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
