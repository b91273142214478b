"""Labels images with the promoted model, or with a given one.

  python -m tuning.predict face.jpg holiday/
  python -m tuning.predict face.jpg --model artifacts/exports/best_model/model.keras --top-k 1
  python -m tuning.predict holiday/ --csv > labels.csv
  python -m tuning.predict holiday/ --json | python -m json.tool

Images are decoded exactly as `prepare` decodes them. The model looks at the whole image: crop to the face first, as in
the images it was trained on. An image that cannot be read is reported and the others are labelled; the exit code is 3
if none could be.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning import cli
from tuning.errors import EXIT_DONE, EXIT_REFUSED, EnvironmentProblem, UsageError
from tuning.workspace import Workspace

if TYPE_CHECKING:
    from tuning.results.prediction import Prediction


def options() -> argparse.ArgumentParser:
    parser = cli.parser("predict", __doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them")
    parser.add_argument(
        "--model", type=Path, metavar="PATH", help="a .keras file of a run or an export (default: the promoted model)"
    )
    parser.add_argument("--top-k", type=int, default=3, metavar="K", help="labels per image (default: %(default)s)")
    parser.add_argument("--csv", action="store_true", help="print one CSV row per image and label")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> cli.Result:
    from tuning.results import prediction

    if args.top_k < 1:
        raise UsageError(f"--top-k is {args.top_k}", "give 1 or more")
    if args.csv and args.json:
        raise UsageError("--csv and --json were both given", "choose one")
    found = prediction.classifier(args.model) if args.model else prediction.promoted_classifier(workspace)
    images = prediction.image_files(args.images)
    _import_keras()
    predictions = list(prediction.label(found, images, args.top_k, console))
    unread = [entry for entry in predictions if entry.error]
    result = {
        "model": str(found.path),
        "run_id": found.run_id,
        "images": len(images),
        "unreadable": len(unread),
        "predictions": [
            {
                "path": str(entry.path),
                "label": entry.labels[0][0] if entry.labels else None,
                "labels": [{"label": label, "probability": probability} for label, probability in entry.labels],
                "error": entry.error,
            }
            for entry in predictions
        ],
    }
    text = csv_text(predictions) if args.csv else table(predictions)
    return result, text, EXIT_REFUSED if len(unread) == len(images) else EXIT_DONE


def table(predictions: Sequence[Prediction]) -> str:
    """One line an image: its name, then its labels with probabilities."""
    width = max(len(str(entry.path)) for entry in predictions)
    lines = []
    for entry in predictions:
        labels = "  ".join(f"{label} {probability:.3f}" for label, probability in entry.labels)
        lines.append(f"{entry.path!s:<{width}}  {labels or f'unreadable: {entry.error}'}")
    return "\n".join(lines)


def csv_text(predictions: Sequence[Prediction]) -> str:
    """`path,rank,label,probability,error`: a row for each label, or one with the error."""
    import csv
    import io

    from tuning.results.leaderboard import cell

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "rank", "label", "probability", "error"])
    for entry in predictions:
        for rank, (label, probability) in enumerate(entry.labels, 1):
            writer.writerow([cell(str(entry.path)), rank, cell(label), cell(probability), ""])
        if entry.error:
            writer.writerow([cell(str(entry.path)), "", "", "", cell(entry.error)])
    return text.getvalue().rstrip("\n")


def _import_keras() -> None:
    """Imports Keras and its backend, silently.

    Raises:
        EnvironmentProblem: one of them is missing or broken.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _native_messages_dropped():
            importlib.import_module("keras")
    except ImportError as error:
        raise EnvironmentProblem(f"Keras cannot be imported: {error}", "run: python -m tuning.doctor") from None


@contextlib.contextmanager
def _native_messages_dropped() -> Iterator[None]:
    """TensorFlow writes about itself to file descriptor 2 while it is imported, whatever log level it is told."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def main(argv: list[str] | None = None) -> int:
    return cli.main(options(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
