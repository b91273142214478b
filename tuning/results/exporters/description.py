"""The description of an export: the preprocessing of images, and a ten-line example."""

from __future__ import annotations

from typing import Any

from tuning.results import schema
from tuning.results.exporters.form import Format
from tuning.results.schema import Metrics

CLASS_NAMES = "class_names.json"

_EXAMPLE = '''\
"""Labels face crops: python {file} FACE.jpg …   (pip install {install} opencv-python-headless)"""
import json, pathlib, sys, {imports}, cv2, numpy as np
here = pathlib.Path(__file__).parent
names = json.loads((here / "{class_names}").read_text(encoding="utf-8"))
model = {opening}
for path in sys.argv[1:]:
    face = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2{color})
    face = cv2.resize(face, ({size}, {size}), interpolation={method})
    outputs = {outputs}[0]
    print(path, names[outputs.argmax()], f"{{{probability}:.3f}}", sep="\\t")
'''


def example_name(name: str) -> str:
    """Returns the file name of the example for format `name`."""
    return "load_example.py" if name == "keras" else f"load_example_{name}.py"


def example(name: str, form: Format, metrics: Metrics) -> str:
    """Returns a ten-line program that labels images with the product of `form` and does not need this project."""
    given = metrics.input
    size, channels = given.image_size, given.channels
    divide = " / 255" if given.scaling == "0-1" else ""
    return _EXAMPLE.format(
        file=example_name(name),
        install=form.install,
        imports=form.imports,
        class_names=CLASS_NAMES,
        opening=form.opening.replace("PATH", f'here / "{form.product}"'),
        color={"gray": "GRAY", "rgb": "RGB"}[given.color],
        size=size,
        method=f"cv2.INTER_AREA if min(face.shape[:2]) >= {size} else cv2.INTER_LINEAR",
        outputs=form.outputs.replace(
            "IMAGES", f'face.reshape(1, {size}, {size}, {channels}).astype("float32"){divide}'
        ),
        # The softmax probability of the predicted label.
        probability="1 / np.exp(outputs - outputs.max()).sum()" if metrics.output == "logits" else "outputs.max()",
    )


def opening_lines(form: Format, metrics: Metrics) -> str:
    """Returns a few lines that open the product and predict, for people to read."""
    size, channels = metrics.input.image_size, metrics.input.channels
    opening = form.opening.replace("PATH", f'"{form.product}"')
    outputs = form.outputs.replace("IMAGES", "images")
    return "\n".join(
        [
            f"import {form.imports}",
            f"model = {opening}",
            f"outputs = {outputs}  # images: float32 (n, {size}, {size}, {channels})",
        ]
    )


def preprocessing(metrics: Metrics) -> dict[str, Any]:
    """Returns a description of the preprocessing and the outputs, for users who have only the export."""
    given = metrics.input
    size, channels = given.image_size, given.channels
    logits = metrics.output == "logits"
    return {
        "image_size": [size, size],
        "color": given.color,
        "channels": channels,
        "layout": "NHWC: (images, height, width, channels); any number of images at a time",
        "dtype": "float32",
        "scaling": given.scaling,
        "scaling_factor": scaling_factor(given.scaling),
        "resize": {
            "how": "stretched to a square, whatever the proportions",
            "neither side grows": "area averaging (OpenCV INTER_AREA)",
            "else": "bilinear (OpenCV INTER_LINEAR)",
        },
        "steps": [
            "decode the image with 8 bits per channel, turned upright as its EXIF orientation says; drop alpha",
            "gray: 0.299 R + 0.587 G + 0.114 B (OpenCV COLOR_BGR2GRAY)"
            if channels == 1
            else "rgb: the channels in the order red, green, blue (OpenCV decodes as BGR: COLOR_BGR2RGB)",
            f"stretch to {size} × {size} pixels: area averaging where neither side grows (OpenCV INTER_AREA), "
            "else bilinear (INTER_LINEAR)",
            schema.SCALINGS[given.scaling],
        ],
        "expects": "a face crop: the model finds no faces by itself",
        "output": f"{metrics.output} of {len(metrics.classes)} classes, in the order of {CLASS_NAMES}",
        "probabilities": "softmax of the outputs: exp(outputs) / sum(exp(outputs))" if logits else "the outputs",
        "input_name": "image (in SavedModel, ONNX and LiteRT)",
    }


def scaling_factor(scaling: str) -> float:
    """Returns the factor that pixels (0…255) are multiplied by, for a key of `schema.SCALINGS`."""
    return 1 / 255 if scaling == "0-1" else 1.0
