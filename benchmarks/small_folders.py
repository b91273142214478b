"""Compares training from scratch with fine-tuning, by the number of images per class, on test images new to both.

python -m benchmarks.small_folders --root WORKSPACE --out DIR      # WORKSPACE: a data set with many images per class

The groups of the workspace's training images are halved. One half trains a base, the first starting point of
`baseline_cnn`. From the other half, folders with a given number of images per class are drawn (all images of a smaller
class) and prepared like any folder. On each, the same starting point is trained from scratch, and the defaults of
`fine_tune` from the base. Both are evaluated on the workspace's test split, which was never used for training or
validation. A second call resumes a stopped one. DIR receives the workspaces, results.json and small_folders.png.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tuning import predict_frame
from tuning.core.files import write_json
from tuning.core.workspace import Workspace
from tuning.dataset.store.manifests import Place, read_split_manifest
from tuning.pipeline.session import import_keras
from tuning.trials.metrics import confusion_matrix, macro_f1
from tuning.trials.spaces import starting_points

SIZES = (10, 30, 100, 300)


def run(command: str, *arguments: object) -> dict[str, object]:
    """Run a command of the package; return its --json output."""
    line = [sys.executable, "-m", f"tuning.{command}", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)


def folder(workspace: Workspace, images: Iterable[Place], into: Path) -> Path:
    """Fill the folder `into` with class folders of hard links to images of the pool."""
    for image in images:
        target = into / image.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(workspace.pool / image.file, target)
    return into


def halves(images: Iterable[Place], seed: int) -> list[list[Place]]:
    """Divide the training images into two halves at random; no group is in both."""
    sides: list[list[Place]] = [[], []]
    for image in images:
        if image.split == "train":
            sides[random.Random(f"{seed}/{image.group}").random() < 0.5].append(image)
    return sides


def drawn(images: Iterable[Place], size: int, seed: int) -> list[Place]:
    """Draw `size` images of each class; with the same seed, a larger draw contains a smaller one."""
    by_label: dict[str, list[Place]] = defaultdict(list)
    for image in images:
        by_label[image.label].append(image)
    return [image for label in by_label.values() for image in random.Random(seed).sample(label, len(label))[:size]]


def judged(model: Path, workspace: Workspace, images: list[Place]) -> dict[str, float]:
    """Return macro-F1 and accuracy of a model on images of the pool."""
    import numpy as np

    found = predict_frame(workspace, [workspace.pool / image.file for image in images], model)
    names = sorted({image.label for image in images})
    truth = np.array([names.index(image.label) for image in images])
    said = np.array([names.index(label) for label in found["label"]])
    counts = confusion_matrix(truth, said, len(names))
    return {"f1_macro": round(macro_f1(counts), 4), "accuracy": round(float((truth == said).mean()), 4)}


def picture(rows: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    sizes = sorted({row["images"] for row in rows})
    for way, words in (("scratch", "from scratch"), ("base", "fine-tuned")):
        means = [statistics.fmean(row[way] for row in rows if row["images"] == size) for size in sizes]
        (line,) = axes.plot(sizes, means, marker="o", label=words)
        axes.scatter([row["images"] for row in rows], [row[way] for row in rows], s=8, color=line.get_color())
    axes.set(xscale="log", xlabel="images a class in the folder", ylabel="macro-F1 on the fixed set")
    axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small_folders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="a workspace with prepared data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for all that is made")
    parser.add_argument("--draws", type=int, default=2, metavar="N", help="folders of each size (default: 2)")
    parser.add_argument("--base-epochs", type=int, default=12, metavar="N", help="of the base (default: 12)")
    parser.add_argument("--epochs", type=int, default=60, metavar="N", help="from scratch; half fine-tuned (60)")
    args = parser.parse_args()
    import_keras()
    workspace = Workspace(args.root)
    manifest = read_split_manifest(workspace.split_manifest)
    if manifest is None:
        sys.exit(f"{args.root} holds no prepared data; run python -m tuning.prepare --root {args.root} --raw DIR")
    images = manifest.places
    test = [image for image in images if image.split == "test"]
    for_base, for_folders = halves(images, 0)
    known = [f"--hp={name}={value}" for name, value in starting_points("baseline_cnn")[0].items()]

    base = args.out / "base"
    run("prepare", "--root", base, "--raw", folder(workspace, for_base, args.out / "raw" / "base"))
    run("train", "--root", base, "--epochs", args.base_epochs, *known)
    if not (exported := args.out / "exported").exists():
        run("export", "--root", base, "--out", exported)

    rows: list[dict[str, float]] = []
    for size in SIZES:
        for draw in range(args.draws):
            root = args.out / f"{size}-{draw}"
            raw = folder(workspace, drawn(for_folders, size, draw), args.out / "raw" / root.name)
            run("prepare", "--root", root, "--raw", raw)
            row: dict[str, float] = {"images": size, "draw": draw}
            # Copies shared by two groups do not matter: only the workspace's test split decides.
            from_base = ["--base", exported, "--accept", "base-overlap"]
            for way, arguments in (
                ("scratch", ["--epochs", args.epochs, *known]),
                ("base", ["--epochs", args.epochs // 2, *from_base]),
            ):
                run_id = run("train", "--root", root, *arguments)["run_id"]
                got = judged(root / "artifacts" / "trials" / str(run_id) / "model.keras", workspace, test)
                row |= {way: got["f1_macro"], f"{way}_accuracy": got["accuracy"]}
            print(json.dumps(row), flush=True)
            rows.append(row)
            write_json(args.out / "results.json", {"test_images": len(test), "rows": rows})
    picture(rows, args.out / "small_folders.png")


if __name__ == "__main__":
    main()
