"""Guesses the code page of names in archives that are not UTF-8, from all names together.

Zip files flag names in UTF-8; other names are in the code page of the machine that packed them, which is recorded
nowhere. The guess is always reported to the user, because it decides the names of the classes.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CodePage:
    """A code page and the characters that text in it usually consists of.

    Attributes:
        codec: Python's name for it.
        language: the language and system that commonly use it.
        script: prefixes of the Unicode names of its letters.
        usual: whether (lead byte, trail byte) is a common character; None for single-byte code pages.
    """

    codec: str
    language: str
    script: tuple[str, ...]
    usual: Callable[[int, int], bool] | None = None


def _between(*ranges: tuple[int, int]) -> Callable[[int, int], bool]:
    """Returns a test: is the lead byte in one of the ranges, and the trail byte at least 0x40?"""
    return lambda lead, trail: any(low <= lead <= high for low, high in ranges) and trail >= 0x40


#: For double-byte pages, `usual` covers the common characters of each national standard: GB 2312 and Big5 level 1, JIS
#: level 1 and kana, Hangul.
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
#: Minimum share of usual characters for a code page to be considered.
_BELIEVED = 0.8
#: Korean uses the same bytes as the more frequent half of Chinese. Text that fits both counts as Korean only if it has
#: at least so many different characters, too many for a coincidence.
_MANY = 6


@dataclass(frozen=True)
class Guess:
    """The code page that fits best, and one other that fits equally well, if any."""

    page: CodePage
    others: tuple[CodePage, ...] = ()

    def words(self, names: Sequence[bytes]) -> str:
        """Describes the guess: the code page, how some names read in it, and how they would read in the other."""
        return f"{_reading(self.page, names)}" + "".join(
            f"; it may as well be {_reading(p, names)}" for p in self.others
        )


UTF8 = CodePage("utf-8", "all languages", ())


def guess(names: Sequence[bytes]) -> Guess | None:
    """Guesses the code page of names that are not all ASCII; None if no known page fits.

    UTF-8 is tried first: text in another code page is hardly ever valid UTF-8.
    """
    text = [name for name in dict.fromkeys(names) if not name.isascii()]
    if _is_utf8(text):
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


def _is_utf8(names: Sequence[bytes]) -> bool:
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
    """Returns the share of non-ASCII characters that are usual in a code page, from 0 to 1."""
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
    """Whether the words look like text: one script each, no capital after a small letter, Western ones mostly ASCII."""
    for word in "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text).split():
        foreign = [c for c in word if ord(c) > 127]
        if not foreign:
            continue
        if script != ("LATIN",) and len(foreign) != len(word):
            return False
        # Western words are mostly ASCII; words of other languages, misread as Western, are mostly accented letters.
        if script == ("LATIN",) and 2 * len(foreign) > len(word) + 1:
            return False
        if any(b.isupper() and a.islower() for a, b in itertools.pairwise(word)):
            return False
    return True
