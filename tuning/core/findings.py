"""The findings of a check, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
#: Worth knowing, but no fault.
NOTE = "note"
FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    Attributes:
        subject: what was checked.
        state: OK, NOTE or FAULT.
        detail: the result, in one sentence.
        remedy: what to do about a fault.
    """

    subject: str
    state: str
    detail: str
    remedy: str = ""
