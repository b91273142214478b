"""Processes that cannot import this project, to prove that an export works without it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CHECK_SECONDS = 300
#: Most characters of a process's last line that an error quotes.
_SHOWN = 400

#: Annotations of the functions below name modules that are not imported in the process, so they must not be evaluated.
_HEAD = "from __future__ import annotations\nimport sys\n"

#: Predicts a batch and a single image, to check that the model takes any number of images.
_PREDICT_ALL = """
def predict_all(predict, images):
    parts = [predict(images), predict(images[:1])]
    return np.concatenate([np.asarray(part, dtype="float32") for part in parts])
"""

_LOAD = """
product, images, outputs = sys.argv[1:]
np.save(outputs, predict_all(load(product), np.load(images)))
"""


class Failed(Exception):
    """A process did not end successfully; the message says why."""


class Isolated:
    """A running Python process that cannot import this project; it is killed at the end of the `with` block.

    Its working directory is `folder`; its output is written to `<name>.log` there.
    """

    def __init__(self, name: str, program: str, arguments: Sequence[object], folder: Path, blocked: Sequence[str] = ()):
        blocks = "".join(f"sys.modules[{module!r}] = None\n" for module in ("tuning", "search_spaces", *blocked))
        self._began, self._log = time.monotonic(), folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                # -E ignores PYTHONPATH, -P leaves out the working directory; an installed copy is blocked by name.
                [sys.executable, "-E", "-P", "-c", f"{_HEAD}{blocks}{program}", *map(str, arguments)],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Waits until the process ends successfully; raises Failed if it fails, with its last line, or times out."""
        remaining = self._began + CHECK_SECONDS - time.monotonic()
        try:
            code = self._process.wait(max(remaining, 0))
        except subprocess.TimeoutExpired:
            raise Failed(f"nothing within {CHECK_SECONDS} s") from None
        if code != 0:
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            raise Failed(f"exit code {code}: {lines[-1][:_SHOWN] if lines else 'no message'}")


def loader(load: Callable) -> str:
    """Returns a program that writes the outputs of a product; arguments: product, images.npy, outputs.npy."""
    return f"import numpy as np\n{_PREDICT_ALL}\n{_source(load)}\n{_LOAD}"


def converter(load: Callable, formats: Mapping[str, tuple[str, Path]], begun: Path) -> str:
    """Returns a program that writes the outputs of the original, and then each product; arguments as for `loader`.

    Args:
        load: opens the original.
        formats: name -> (Keras's name of the format, path of the product).
        begun: a file that the program writes the name of each format to before it converts to it.
    """
    steps = "".join(
        f"open({str(begun)!r}, 'w').write({name!r})\nconvert(product, {str(path)!r}, {keras_format!r})\n"
        for name, (keras_format, path) in formats.items()
    )
    return f"{loader(load)}\n{_source(convertible)}\n{_source(suspect)}\n{_source(convert)}\n{steps}"


def convertible(model: Any, keras_format: str) -> Any:
    """Runs in the other process: changes the model in place so that its layers use operations the converter supports.

    The results stay the same. For ONNX, GELU is computed by the error function (x/2 · (1 + erf(x/√2))), and mean and
    variance of a Normalization layer become constants, as they would otherwise become inputs of the graph. Grouped
    convolutions are split into one per group. For LiteRT, recurrent layers are unrolled over their steps.
    """
    import keras
    import numpy as np
    from keras import layers, ops

    def gelu(x: Any) -> Any:
        return x * 0.5 * (1.0 + ops.erf(x * 0.7071067811865476))

    class Grouped(layers.Conv2D):
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            pairs = zip(ops.split(inputs, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
            how = {"padding": self.padding, "dilation_rate": self.dilation_rate}
            made = [ops.conv(x, part, list(self.strides), **how) for x, part in pairs]
            return ops.concatenate(made, -1)

    def visit(layer: Any) -> None:
        if getattr(layer, "activation", None) is keras.activations.gelu and keras_format == "onnx":
            layer.activation = gelu
        if type(layer) is layers.Conv2D and layer.groups > 1 and layer.data_format == "channels_last":
            layer.__class__ = Grouped
        if isinstance(layer, layers.Normalization) and keras_format == "onnx":
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
        if isinstance(layer, layers.RNN) and keras_format == "litert":
            layer.unroll = True
        parts = [*getattr(layer, "layers", ())]
        parts += [getattr(layer, name, None) for name in ("layer", "forward_layer", "backward_layer")]
        for inner in parts:
            if isinstance(inner, layers.Layer):
                visit(inner)

    visit(model)
    return model


def convert(source: str, path: str, keras_format: str) -> None:
    """Runs in the other process: writes a `.keras` file in another format, for any number of images at a time."""
    import keras

    model = convertible(keras.saving.load_model(source, safe_mode=True, compile=False), keras_format)
    image = keras.Input(model.input_shape[1:], name="image")
    # Call the model with training=False: `export` of the model itself would keep augmentation layers active.
    inference = keras.Model(image, model(image, training=False))
    # The input has the same name in all formats, whatever its name in the builder.
    signature = [keras.InputSpec(shape=image.shape, dtype="float32", name="image")]
    try:
        inference.export(path, format=keras_format, verbose=False, input_signature=signature)
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SystemExit(f"{suspect(model, keras_format)}{words}") from None


def suspect(model: Any, keras_format: str) -> str:
    """Runs in the other process: names the first layer that cannot be converted alone; "" if there is none."""
    import tempfile

    import keras

    tried = set()
    with tempfile.TemporaryDirectory() as folder:
        for number, layer in enumerate(getattr(model, "operations", None) or model.layers):
            if isinstance(layer, keras.Model):
                if inner := suspect(layer, keras_format):
                    return inner
                continue
            kind = (type(layer), str(getattr(layer, "activation", None)), getattr(layer, "interpolation", None))
            if isinstance(layer, keras.layers.InputLayer) or kind in tried:
                continue
            tried.add(kind)
            try:
                given = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
                part = keras.Model(given, layer.output)
                fresh = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in given]
                alone = keras.Model(fresh, part(fresh, training=False))
            except Exception:
                continue  # it cannot be taken out
            try:
                suffix = {"onnx": ".onnx", "litert": ".tflite"}.get(keras_format, "")
                alone.export(f"{folder}/{number}{suffix}", format=keras_format, verbose=False)
            except Exception:
                return f"layer {layer.name!r} ({type(layer).__name__}): "
    return ""


def _source(function: Callable) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _environment(keras_home: Path) -> dict[str, str]:
    """Returns the environment for the process: TensorFlow on the CPU with Keras's defaults.

    This process may use another Keras backend, the user's `keras.json` may set another float type, and GPUs round
    differently, which would affect the comparison of outputs.
    """
    fixed = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    fixed["KERAS_HOME"] = str(keras_home)
    return {**os.environ, **fixed}
