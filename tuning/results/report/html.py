"""Small pieces of HTML that several sections of the page share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

#: Relative address of the folder of runs, as seen from a search's folder, which holds its page.
RUNS = "../../trials"


def section(name: str, title: str, lead: str, content: str) -> str:
    """Returns a section with the anchor `name`; all other arguments are HTML."""
    lead = f'<p class="lead">{lead}</p>\n' if lead else ""
    return f'<section id="{name}">\n<h2>{title}</h2>\n{lead}{content}\n</section>'


def card(title: str, content: str) -> str:
    """Returns a framed part of a section with its title; both are HTML."""
    return f'<figure class="card"><figcaption>{title}</figcaption>{content}</figure>'


def remark(words: str) -> str:
    """Returns an explanatory paragraph; `words` is HTML."""
    return f'<p class="note">{words}</p>'


def table(kind: str, head: str, rows: str, foot: str = "") -> str:
    """Returns a table that scrolls if it is wider than the page; `head`, `rows` and `foot` are rows in HTML."""
    foot = f"<tfoot>{foot}</tfoot>" if foot else ""
    body = f"<thead>{head}</thead><tbody>{rows}</tbody>{foot}"
    return f'<div class="scroll"><table class="{kind}">{body}</table></div>'


def switch(name: str, labels: Sequence[str], panels: Sequence[str], first: int = 0) -> str:
    """Returns panels of which one is shown, initially number `first`; radio buttons switch them without a script."""
    buttons = "".join(
        f'<input type="radio" name="{name}" id="{name}-{place}"{" checked" * (place == first)}>'
        f'<label for="{name}-{place}">{label}</label>'
        for place, label in enumerate(labels)
    )
    return f'<div class="switch">{buttons}<div class="panels">{"".join(f"<div>{p}</div>" for p in panels)}</div></div>'


def key_row(more: str = "", dots: bool = False) -> str:
    """Returns the legend of a chart of lines, or of dots."""
    kind = " shape" * dots
    more = f"<span>{more}</span>" if more else ""
    return (
        f'<p class="key-row{kind}"><span><i class="ramp"></i>worst to best score</span>'
        f'<span><i class="hot"></i>finalist</span><span><i class="base"></i>baseline</span>{more}</p>'
    )


def value_text(value: Any) -> str:
    """Formats a hyperparameter's value as HTML; a dash if it is inactive."""
    return "–" if value is None else escape(value_words(value))


def value_words(value: Any) -> str:
    """Formats a hyperparameter's value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
