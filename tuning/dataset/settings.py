"""What a person may choose about preparing a data set, validated in one place."""

from __future__ import annotations

from dataclasses import dataclass

from tuning.core.errors import UsageError
from tuning.dataset.splitting import split
from tuning.dataset.store.description import COLORS

MAX_IMAGE_SIZE = 1024


@dataclass(frozen=True)
class Settings:
    """The options of `prepare`; see `tuning.dataset.preparation.prepare_dataset`.

    Raises:
        UsageError: a value that cannot be meant.
    """

    image_size: int = 48
    color: str = "gray"
    ratios: tuple[float, float, float] = split.DEFAULT_RATIOS
    seed: int = 0
    on_bad: str = "skip"
    crop: str = "box"
    on_conflict: str = "drop"
    aliases: tuple[tuple[str, str], ...] = ()
    group_by: str | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.image_size <= MAX_IMAGE_SIZE:
            raise UsageError(f"--image-size {self.image_size} is not from 8 to {MAX_IMAGE_SIZE}", "48 and 96 are usual")
        for option, value, valid in (
            ("--color", self.color, tuple(COLORS)),
            ("--on-bad", self.on_bad, ("skip", "stop")),
            ("--crop", self.crop, ("box", "image")),
            ("--on-conflict", self.on_conflict, ("drop", "keep", "majority")),
        ):
            if value not in valid:
                raise UsageError(f"{option} {value!r} is not known", f"choose from {', '.join(valid)}")
        split.check_ratios(self.ratios)
