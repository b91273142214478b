"""Labels images of faces with the promoted model or another.

  python -m tuning.predict face.jpg holiday/
  python -m tuning.predict face.jpg --model artifacts/exports/best_model/model.keras --top-k 1
  python -m tuning.predict holiday/ --sheet sheet.png   # a picture of the images with their labels
  python -m tuning.predict holiday/ --csv > labels.csv
  find holiday -name '*.jpg' | python -m tuning.predict - --jsonl | head
  find holiday -name '*.jpg' -print0 | python -m tuning.predict - -0 --csv
  curl -s https://example.org/face.jpg | python -m tuning.predict -

The model looks at the whole image and does not detect faces: crop to the face first, as in the training images. Images
are decoded exactly as `prepare` decodes them. Folders are searched recursively, in sorted order. With - as the image,
standard input holds paths, one per line, or a single JPEG, PNG or TIFF image.

Labels are printed in the order of the images as soon as they are known. For an image that cannot be read, or a path on
standard input that does not exist, the reason is printed instead; the other images are labelled, and the exit code is
3. A missing path on the command line is refused before anything is labelled.

reads   the images, and artifacts/models/best_model.keras or --model
writes  only its output; with --sheet, the picture
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning import cli
from tuning.core import machine
from tuning.core.errors import EXIT_DONE, EXIT_REFUSED, DataError, UsageError
from tuning.core.progress import SILENT
from tuning.core.workspace import Workspace

if TYPE_CHECKING:
    from tuning.results.prediction.images import Image
    from tuning.results.prediction.labelling import Prediction
    from tuning.results.prediction.sheet import Sheet
    from tuning.results.prediction.writers import Writer

#: Least number of images for which the speed is printed.
MANY = 1000


def options() -> argparse.ArgumentParser:
    parser = cli.parser("predict", __doc__, "IMAGE …")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="an image file, a folder of images, or - for standard input"
    )
    parser.add_argument(
        "--model", metavar="PATH", help="a .keras file of a run or an export (default: the promoted model)"
    )
    parser.add_argument("--top-k", type=int, default=3, metavar="K", help="labels per image (default: %(default)s)")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="also write one picture, .png, .jpg or .webp, of the first 200 images with their labels and probabilities "
        "(default: none)",
    )
    parser.add_argument(
        "-0", "--null", action="store_true", help="paths on standard input are separated by NUL, as from find -print0"
    )
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--csv", action="store_true", help="print one CSV row per image and label")
    text.add_argument("--jsonl", action="store_true", help="print one JSON object per line and image")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> cli.Result:
    from tuning.results.prediction import classifier, images
    from tuning.results.prediction.backend import import_keras
    from tuning.results.prediction.labelling import Labeller

    _check(args)
    if not args.model:
        workspace.require()
    found = classifier.classifier(Path(args.model)) if args.model else classifier.promoted_classifier(workspace)
    sheet = _sheet(args.sheet, found.run_id) if args.sheet else None
    piped = images.STANDARD_INPUT in args.images
    bursts = images.bursts(args.images, args.null)
    known = [] if piped else list(itertools.chain.from_iterable(bursts))
    _keep_images(args.sheet, known)
    if piped and sys.stdin.isatty():
        console.say("reading paths from the terminal, one a line; Ctrl-D ends them")
    began = time.monotonic()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow would count the machine's cores, not those that this process may use.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(machine.usable_cores()))
    import_keras()
    writer = _writer(args, [image.path for image in known])
    # Labels and a bar in one terminal would paint over each other.
    progress = SILENT if sys.stdout.isatty() else console
    with (
        Labeller(found, args.top_k) as labeller,
        progress.bar(None if piped else len(known), "labelling", "image") as bar,
    ):
        sources: dict[str, bytes | None] = {}

        def labelled() -> Iterator[list[Prediction]]:
            for burst in bursts if piped else [known]:
                _keep_images(args.sheet, burst)
                sources.update({image.path: image.data for image in burst if image.data is not None})
                yield from labeller.label(burst)

        batches = labelled()
        # Label the first batch now: a defect of the model is reported before anything is printed.
        first = next(batches, None)
        if first is None:
            raise DataError("standard input names no image", "give one path a line, or one JPEG, PNG or TIFF image")
        count = unread = 0
        writer.begin(found)
        try:
            for batch in itertools.chain([first], batches):
                writer.write(batch)
                sys.stdout.flush()
                if sheet is not None:
                    for entry in batch:
                        sheet.add(entry, sources.get(entry.path))
                count += len(batch)
                unread += sum(entry.error is not None for entry in batch)
                bar.update(len(batch))
        finally:
            writer.end({"images": count, "unreadable": unread})
    if sheet is not None:
        console.say(f"{args.sheet}: {sheet.write(args.sheet)}")
    if labeller.opened is not None and count >= MANY:
        start, seconds = labeller.opened - began, time.monotonic() - labeller.opened
        console.say(
            f"{count:,} images in {seconds:.1f} s, {count / seconds:,.0f} a second; the start took {start:.1f} s"
        )
    if unread:
        console.warn(f"{unread:,} of {count:,} images could not be read; the output says why")
    return None, "", EXIT_REFUSED if unread else EXIT_DONE


def _sheet(path: Path, run_id: str) -> Sheet:
    """Returns an empty sheet; raises UsageError if no sheet can be written to `path`."""
    # Fonts and pictures take time to import.
    from tuning.results.prediction import sheet

    sheet.check(path)
    return sheet.Sheet(run_id)


def _keep_images(sheet: Path | None, images: Sequence[Image]) -> None:
    """Raises UsageError if `sheet` would replace one of the images to label."""
    if sheet is not None and any(os.path.realpath(image.path) == os.path.realpath(sheet) for image in images):
        raise UsageError(f"--sheet {sheet} is one of the images to label", "give another name")


def _check(args: argparse.Namespace) -> None:
    if args.top_k < 1:
        raise UsageError(f"--top-k is {args.top_k}", "give 1 or more")
    if args.json and (args.csv or args.jsonl):
        raise UsageError(f"--{'csv' if args.csv else 'jsonl'} and --json were both given", "choose one")
    if args.null and "-" not in args.images:
        raise UsageError("-0 was given, but nothing is read from standard input", "add -, or leave -0 out")


def _writer(args: argparse.Namespace, paths: Sequence[str]) -> Writer:
    from tuning.results.prediction import writers

    if args.csv:
        return writers.CsvWriter(sys.stdout)
    if args.jsonl:
        return writers.JsonLinesWriter(sys.stdout)
    if args.json:
        return writers.JsonWriter(sys.stdout)
    return writers.TableWriter(sys.stdout, paths, cli.terminal_width())


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
