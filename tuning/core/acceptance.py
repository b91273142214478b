"""The values of `--accept`: changes that affect results, but despite which a search may resume."""

from __future__ import annotations

from tuning.core.errors import UsageError

#: Value of `--accept` -> the settings field that may then differ.
ACCEPTABLE = {"code": "space_digest", "versions": "versions"}
#: A further value: start from a base model that has seen images of the validation or test split.
OVERLAP = "base-overlap"


def acceptable(text: str | None) -> frozenset[str]:
    """The settings fields that may differ according to `--accept`.

    Raises:
        UsageError: `text` holds an unknown value.
    """
    words = _words(text)
    if unknown := [word for word in words if word not in ACCEPTABLE and word != OVERLAP]:
        raise UsageError(
            f"--accept is {', '.join(map(repr, unknown))}",
            f"use {', '.join(ACCEPTABLE)} or {OVERLAP}, or several with commas",
        )
    return frozenset(ACCEPTABLE[word] for word in words if word != OVERLAP)


def accepts_overlap(text: str | None) -> bool:
    """Whether `--accept` contains `OVERLAP`."""
    return OVERLAP in _words(text)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]
