"""The findings of a check, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
#: Worth knowing, nothing wrong.
NOTE = "note"
FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        subject: what was looked at.
        state: OK, NOTE or FAULT.
        detail: what was found, in one sentence.
        remedy: what to do about a fault.
    """

    subject: str
    state: str
    detail: str
    remedy: str = ""
