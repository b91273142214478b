"""Names in archives that are not UTF-8: which code page the program that wrote them used, guessed from all names.

Zip files say which names are UTF-8; the others are in the code page of the machine that packed them, which no file
tells. The guess is always told to the person, for it decides what the classes are called.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CodePage:
    """A code page and what usual text in it consists of.

    Attributes:
        codec: Python's name for it.
        language: for whom it is the usual one.
        usual: whether two bytes, as one number, are a common character; None for pages of single bytes.
        script: what the names of its letters begin with.
    """

    codec: str
    language: str
    script: tuple[str, ...]
    usual: Callable[[int, int], bool] | None = None


def _between(*ranges: tuple[int, int]) -> Callable[[int, int], bool]:
    """Whether the lead byte lies in one of the ranges and the trail byte is one."""
    return lambda lead, trail: any(low <= lead <= high for low, high in ranges) and trail >= 0x40


#: The rows of common characters in each national standard: GB 2312 and Big5 level 1, JIS level 1 and kana, Hangul.
_PAGES = (
    CodePage("cp866", "Russian, DOS", ("CYRILLIC",)),
    CodePage("cp1251", "Russian, Windows", ("CYRILLIC",)),
    CodePage("cp932", "Japanese", ("CJK", "HIRAGANA", "KATAKANA"), _between((0x82, 0x83), (0x88, 0x98))),
    CodePage("cp949", "Korean", ("HANGUL",), lambda a, b: 0xB0 <= a <= 0xC8 and b >= 0xA1),
    CodePage("gbk", "Chinese, simplified", ("CJK",), lambda a, b: 0xB0 <= a <= 0xD7 and b >= 0xA1),
    CodePage("big5", "Chinese, traditional", ("CJK",), _between((0xA4, 0xC6))),
    CodePage("cp437", "Western, DOS", ("LATIN",)),
    CodePage("cp850", "Western European, DOS", ("LATIN",)),
    CodePage("cp1252", "Western European, Windows", ("LATIN",)),
    CodePage("cp852", "Central European, DOS", ("LATIN",)),
    CodePage("cp1250", "Central European, Windows", ("LATIN",)),
    CodePage("cp737", "Greek, DOS", ("GREEK",)),
    CodePage("cp1253", "Greek, Windows", ("GREEK",)),
)
#: Below this share of usual characters a code page is not believed.
_BELIEVED = 0.8
#: Korean lies where the more frequent half of Chinese does: so many different characters do so by no chance.
_MANY = 6


@dataclass(frozen=True)
class Guess:
    """The code page that fits best, and the others that fit as well."""

    page: CodePage
    others: tuple[CodePage, ...] = ()

    def words(self, names: Sequence[bytes]) -> str:
        """What a person is told: the page, how some names read in it, and how they would read otherwise."""
        return f"{_reading(self.page, names)}" + "".join(
            f"; it may as well be {_reading(p, names)}" for p in self.others
        )


UTF8 = CodePage("utf-8", "all languages", ())


def guess(names: Sequence[bytes]) -> Guess | None:
    """The code page of names that are not all ASCII; None where none of those known fits.

    UTF-8 comes first: nothing else looks like it by chance.
    """
    text = [name for name in dict.fromkeys(names) if not name.isascii()]
    if _score_utf8(text):
        return Guess(UTF8)
    scores = {page.codec: _score(text, page) for page in _PAGES}
    best = max(scores.values())
    fitting = [page for page in _PAGES if scores[page.codec] == best]
    if best < _BELIEVED:
        return None
    if fitting[0].codec == "cp949" and len(fitting) > 1 and len(_foreign(text, fitting[0])) < _MANY:
        fitting = [*fitting[1:], fitting[0]]
    first = fitting[0]
    others = [page for page in fitting[1:] if any(n.decode(page.codec) != n.decode(first.codec) for n in text)]
    return Guess(first, tuple(others[:1]))


def _score_utf8(names: Sequence[bytes]) -> bool:
    try:
        return all(name.decode("utf-8") for name in names)
    except UnicodeDecodeError:
        return False


def _foreign(names: Sequence[bytes], page: CodePage) -> set[str]:
    return {character for name in names for character in name.decode(page.codec) if ord(character) > 127}


def _reading(page: CodePage, names: Sequence[bytes]) -> str:
    parts = dict.fromkeys(
        part for name in names for part in name.decode(page.codec).replace("\\", "/").split("/") if not part.isascii()
    )
    return f"{page.codec} ({page.language}): {', '.join([*parts][:3])}"


def _score(names: Sequence[bytes], page: CodePage) -> float:
    """Which share of what is not ASCII is usual text in a code page, from 0 to 1."""
    usual = total = 0
    for name in names:
        try:
            text = name.decode(page.codec)
        except UnicodeDecodeError:
            return 0.0
        foreign = [character for character in text if ord(character) > 127]
        total += len(foreign)
        if page.usual is None:
            usual += sum(_is_letter(c, page.script) for c in foreign) if _is_natural(text, page.script) else 0
        else:
            usual += sum(
                len(pair := c.encode(page.codec)) == 2 and page.usual(pair[0], pair[1]) and _is_letter(c, page.script)
                for c in foreign
            )
    return usual / total if total else 0.0


def _is_letter(character: str, script: tuple[str, ...]) -> bool:
    return unicodedata.category(character)[0] in "LM" and unicodedata.name(character, "").startswith(script)


def _is_natural(text: str, script: tuple[str, ...]) -> bool:
    """Whether no word mixes scripts, or has a capital after a small letter, or hardly a letter that is ASCII."""
    for word in "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text).split():
        foreign = [c for c in word if ord(c) > 127]
        if not foreign:
            continue
        if script != ("LATIN",) and len(foreign) != len(word):
            return False
        # Western words are mostly ASCII; others come out as letters with accents alone.
        if script == ("LATIN",) and 2 * len(foreign) > len(word) + 1:
            return False
        if any(b.isupper() and a.islower() for a, b in itertools.pairwise(word)):
            return False
    return True
