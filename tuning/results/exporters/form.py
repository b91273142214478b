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

    `load` runs in a process that cannot import this project: its source goes there as text. So it is a plain function
    of that very name that imports what it needs itself.

    Attributes:
        product: the name of the file (or folder) in the export.
        title: what it is, in a few words.
        runtime: what opens it, in a few words.
        keras_format: what Keras's `Model.export` calls it; None where the product is the `.keras` file itself.
        load: `load(path) -> predict`, in the product's own runtime; `predict` maps float32 images
            (n, height, width, channels) to outputs (n, classes), for any n.
        install: the packages that its user needs, as pip names them.
        imports: the modules that `opening` and `outputs` use, separated by commas.
        opening: the expression that opens the product at PATH, for people to read.
        outputs: the expression that maps IMAGES to outputs, with the open product in `model`.
        modules: what must be importable to write and check it, beyond what this project always needs.
        extra: the extra that brings `modules`.
        unneeded: modules that its runtime must do without, kept from it in the check.
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
