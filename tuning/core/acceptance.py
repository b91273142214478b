"""The changes despite which a search may resume although results depend on them: `--accept`."""

from __future__ import annotations

from tuning.core.errors import UsageError

#: What `--accept` may name -> the field whose change it lets pass.
ACCEPTABLE = {"code": "space_digest", "versions": "versions"}
#: Another word of it: a base that has seen images of the validation or test split.
OVERLAP = "base-overlap"


def acceptable(text: str | None) -> frozenset[str]:
    """The fields whose changes `--accept` lets pass.

    Raises:
        UsageError: it names something else.
    """
    words = _words(text)
    if unknown := [word for word in words if word not in ACCEPTABLE and word != OVERLAP]:
        raise UsageError(
            f"--accept is {', '.join(map(repr, unknown))}",
            f"use {', '.join(ACCEPTABLE)} or {OVERLAP}, or several with commas",
        )
    return frozenset(ACCEPTABLE[word] for word in words if word != OVERLAP)


def accepts_overlap(text: str | None) -> bool:
    """Whether `--accept` names a base's knowledge of images."""
    return OVERLAP in _words(text)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]
