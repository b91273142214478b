"""Reads text files in UTF-8, with or without a byte order mark, or in UTF-16 with one."""

from __future__ import annotations

import codecs


def encoding(head: bytes) -> str:
    """Returns the encoding of a text that begins with `head`."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def decode(data: bytes, errors: str = "strict") -> str:
    """Decodes a text. Raises UnicodeDecodeError if it is in another encoding and `errors` is "strict"."""
    return data.decode(encoding(data), errors)
