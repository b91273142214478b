"""The shell of every HTML page of this project: one self-contained file, light or dark, from a phone's width up.

A page loads no font, script or picture from elsewhere; its Content-Security-Policy forbids it.
"""

from __future__ import annotations

from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1d2330, #e6e9ef); --soft: light-dark(#5c6577, #9aa3b5);
  --line: light-dark(#d9dde5, #343a48); --back: light-dark(#ffffff, #14171d); --card: light-dark(#f5f6f9, #1d212a);
  --train: light-dark(#3b6fb6, #6f9fe0); --val: light-dark(#d08a1d, #e2ad55); --test: light-dark(#8a4fa3, #bb86d6);
  --good: light-dark(#1f7a4d, #5cc492); --bad: light-dark(#b3261e, #f2877f); --link: light-dark(#0b5cad, #84b6f2); }
:root[data-theme="light"] { color-scheme: light; } :root[data-theme="dark"] { color-scheme: dark; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.8rem; overflow-wrap: anywhere; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 1.2rem 0 .4rem; font-size: 1rem; } a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header p { margin: 0; color: var(--soft); } code { overflow-wrap: anywhere; font-size: .9em; }
.verdict { border-left: .3rem solid; padding: .6rem .9rem; background: var(--card); font-weight: 600; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict.open { border-color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tiles div { background: var(--card); border-radius: .4rem; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.35rem; } .tiles span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, .list td { text-align: left; white-space: normal; } tfoot th, tfoot td { border: 0; font-weight: 600; }
#theme { float: right; margin: 0 0 .5rem 1rem; }
button, select { font: inherit; font-size: .85rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: .4rem; padding: .25rem .7rem; cursor: pointer; }
@media print { :root { color-scheme: light !important; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  #theme { display: none; } p, figure, tr { break-inside: avoid; } h2, h3, .lead { break-after: avoid; } }
"""

#: The system's theme until the user chooses one. Without localStorage (a local file) the choice is not remembered.
_THEME = """
{ const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (act) => { try { return act(); } catch { return null; } };
  const chosen = stored(() => localStorage.getItem("theme"));
  if (chosen) root.dataset.theme = chosen;
  document.addEventListener("click", (event) => {
    if (event.target.id !== "theme") return;
    const now = root.dataset.theme ?? (system.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    stored(() => localStorage.setItem("theme", root.dataset.theme));
  }); }
"""

_BUTTON = '<button type="button" id="theme" aria-label="switch between light and dark">◐ theme</button>\n'

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def document(title: str, body: str, style: str = "", script: str = "", refresh: int = 0) -> str:
    """A complete page.

    Args:
        title: plain text.
        body: HTML, with all foreign text escaped.
        style: CSS after the shared `STYLE`.
        script: JavaScript, run as a module once the page is parsed; without it the page has no script and no theme
            button, and follows the system's theme.
        refresh: seconds after which the page reloads itself; 0: never.
    """
    again = f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else ""
    theme, code = (f"<script>{_THEME}</script>\n", f'<script type="module">{script}</script>\n') if script else ("", "")
    button = _BUTTON if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n{again}'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n{theme}</head>\n"
        f"<body>\n<main>\n{button}"
        f"{body}\n</main>\n{code}</body>\n</html>\n"
    )
