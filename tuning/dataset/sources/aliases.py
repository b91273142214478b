"""Renames classes: `--aliases`, and the usual names of emotions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from tuning.core.errors import DataError, UsageError
from tuning.dataset.sources.samples import clean_label

#: The table that `--aliases emotions` stands for: name of an emotion in common data sets -> FER2013's name for it.
EMOTIONS: dict[str, str] = {
    **dict.fromkeys(("anger", "angry_face", "mad"), "angry"),
    "contemptuous": "contempt",
    **dict.fromkeys(("disgusted", "disgusting"), "disgust"),
    **dict.fromkeys(("afraid", "fearful", "scared"), "fear"),
    **dict.fromkeys(("happiness", "joy", "smile", "smiling"), "happy"),
    **dict.fromkeys(("calm", "natural", "neutrality", "no_emotion"), "neutral"),
    **dict.fromkeys(("sadness", "unhappy"), "sad"),
    **dict.fromkeys(("surprised", "surprize"), "surprise"),
}
BUILT_IN = "emotions"
_REMEDY = f"give pairs such as anger=angry,happiness=happy, or `{BUILT_IN}` for the usual names of emotions"
#: A number before a name, as in "0_angry".
_NUMBERED = re.compile(r"^\d+[_.-]+(?=\D)")
#: Suffixes that file managers add to the name of a copied folder: "happy (1)", "happy - Copy", "happy copy 2".
_COPIED = re.compile(r"(_\(\d+\)|(_-)?_copy(_\d+|_\(\d+\))?)$")
#: A split in a name, as in "train_happy" beside "test_happy".
_SPLIT = re.compile(r"^(train|test|val|valid)(ing|idation)?[_.-]+|[_.-]+(train|test|val|valid)(ing|idation)?$")


def parse(text: str | None) -> dict[str, str]:
    """Parses "anger=angry,happiness=happy", or "emotions" for the built-in table, or both, into name -> label.

    Names and labels are cleaned by `clean_label`; pairs take precedence over the table.

    Raises:
        UsageError: not such a list, a name with two labels, or a label that is itself renamed.
    """
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    pairs: dict[str, str] = {}
    for part in parts:
        if part == BUILT_IN:
            continue
        name, label = _pair(part)
        if pairs.setdefault(name, label) != label:
            raise UsageError(f"--aliases: {name!r} is both {pairs[name]!r} and {label!r}", "keep one of the two")
    found = (EMOTIONS if BUILT_IN in parts else {}) | pairs
    for name, label in found.items():
        if found.get(label, label) != label:
            raise UsageError(
                f"--aliases: {name!r} becomes {label!r}, which itself becomes {found[label]!r}",
                f"write {name}={found[label]}",
            )
    return {name: label for name, label in sorted(found.items()) if name != label}


def _pair(part: str) -> tuple[str, str]:
    name, equals, label = part.partition("=")
    if not equals:
        raise UsageError(f"--aliases: {part!r} is no pair", _REMEDY)
    try:
        return clean_label(name, "--aliases"), clean_label(label, "--aliases")
    except DataError as error:
        raise UsageError(error.problem, _REMEDY) from None


def suggestion(labels: Iterable[str], aliases: Mapping[str, str]) -> str | None:
    """Returns a hint if several classes look like the same emotion under different names, else None."""
    names: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        bare = _SPLIT.sub("", _COPIED.sub("", _NUMBERED.sub("", label)))
        names.setdefault(EMOTIONS.get(bare, bare), []).append(label)
    same = {wanted: found for wanted, found in names.items() if len(found) > 1}
    if not same:
        return None
    pairs = ",".join(f"{name}={wanted}" for wanted, found in same.items() for name in found if name != wanted)
    seen = "; ".join(" and ".join(found) for found in same.values())
    given = ",".join([*(f"{name}={label}" for name, label in aliases.items()), pairs])
    given = shlex.quote(given)
    return f"These look like the same class under two names: {seen}. To make them one, run with --aliases {given}"
