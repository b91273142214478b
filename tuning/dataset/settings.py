"""The settings of `prepare`, validated in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from tuning.core.errors import UsageError
from tuning.dataset.splitting import split
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.store.description import Color

MAX_IMAGE_SIZE = 1024
OnBad = Literal["skip", "stop"]
Crop = Literal["box", "image"]
OnConflict = Literal["drop", "keep", "majority"]


@dataclass(frozen=True)
class Settings:
    """The options of `prepare`; see `tuning.dataset.preparation.prepare_dataset`.

    Raises:
        UsageError: a value is not allowed.
    """

    image_size: int = 48
    color: Color = "gray"
    ratios: tuple[float, float, float] = split.DEFAULT_RATIOS
    seed: int = 0
    on_bad: OnBad = "skip"
    crop: Crop = "box"
    on_conflict: OnConflict = "drop"
    aliases: tuple[tuple[str, str], ...] = ()
    group_by: str | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.image_size <= MAX_IMAGE_SIZE:
            raise UsageError(f"--image-size {self.image_size} is not from 8 to {MAX_IMAGE_SIZE}", "48 and 96 are usual")
        for option, value, kind in (
            ("--color", self.color, Color),
            ("--on-bad", self.on_bad, OnBad),
            ("--crop", self.crop, Crop),
            ("--on-conflict", self.on_conflict, OnConflict),
        ):
            if value not in get_args(kind):
                raise UsageError(f"{option} {value!r} is not known", f"choose from {', '.join(get_args(kind))}")
        split.check_ratios(self.ratios)


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide which images are in the pool and in which groups, as recorded in files.

    Attributes:
        group_by_table: digest of the table that `--group-by` names; None for an expression, or without `--group-by`.
    """

    crop: Crop
    on_conflict: OnConflict
    aliases: dict[str, str]
    group_by: str | None
    group_by_table: str | None

    @staticmethod
    def of(settings: Settings, by: GroupBy | None) -> PoolSettings:
        return PoolSettings(
            crop=settings.crop,
            on_conflict=settings.on_conflict,
            aliases=dict(settings.aliases),
            group_by=settings.group_by,
            group_by_table=by.digest if by else None,
        )
