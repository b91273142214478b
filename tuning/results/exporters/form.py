"""The definition of an export format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Format:
    """One kind of model file.

    `load` runs in a process that cannot import this project and receives its source as text. It must therefore be a
    plain function named `load` that imports everything it needs itself.

    Attributes:
        product: the name of the file (or folder) in the export.
        title: a short description of the product.
        runtime: the name of the runtime that opens it.
        keras_format: the format's name in Keras's `Model.export`; None if the product is the `.keras` file itself.
        load: `load(path) -> predict`, in the product's own runtime; `predict` maps float32 images
            (n, height, width, channels) to outputs (n, classes), for any n.
        install: the packages that users of the product need, as pip names them.
        imports: the modules that `opening` and `outputs` use, separated by commas.
        opening: the expression that opens the product at PATH, for people to read.
        outputs: the expression that maps IMAGES to outputs, with the open product in `model`.
        modules: modules needed to write and check the product, beyond this project's requirements.
        extra: the extra of this project that installs `modules`.
        unneeded: modules that the runtime must work without; they cannot be imported during the check.
    """

    product: str
    title: str
    runtime: str
    keras_format: str | None
    load: Callable[[str], Callable[[np.ndarray], np.ndarray]]
    install: str
    imports: str
    opening: str
    outputs: str
    modules: tuple[str, ...] = ()
    extra: str | None = None
    unneeded: tuple[str, ...] = ()
