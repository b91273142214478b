"""The look of `pool_report.html`: light or dark as the reader's system is, from a phone's width up."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5c6577; --line: #d9dde5; --back: #ffffff; --card: #f5f6f9;
  --train: #3b6fb6; --val: #d08a1d; --test: #8a4fa3; --good: #1f7a4d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa3b5; --line: #343a48; --back: #14171d;
  --card: #1d212a; --train: #6f9fe0; --val: #e2ad55; --test: #bb86d6; --good: #5cc492; --bad: #f2877f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.8rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 1.2rem 0 .4rem; font-size: 1rem; }
header p { margin: 0; color: var(--soft); } code { overflow-wrap: anywhere; font-size: .9em; }
.verdict { border-left: .3rem solid; padding: .6rem .9rem; background: var(--card); font-weight: 600; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tiles div { background: var(--card); border-radius: .4rem; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.35rem; } .tiles span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, .list td { text-align: left; white-space: normal; } tfoot th, tfoot td { border: 0; font-weight: 600; }
td.bar { width: 40%; min-width: 8rem; } .bar div { display: flex; height: .8rem; }
.bar i, .key { display: inline-block; } .key { width: .7rem; height: .7rem; margin-right: .3rem; border-radius: .1rem; }
.train { background: var(--train); } .val { background: var(--val); } .test { background: var(--test); }
.strip, .sets { display: flex; flex-wrap: wrap; gap: .6rem; }
.set { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; background: var(--card); border-radius: .4rem;
  padding: .5rem; } .set p { flex-basis: 100%; margin: 0; color: var(--soft); font-size: .75rem; text-align: center; }
figure { margin: 0; width: 4.4rem; } figure img { display: block; width: 4.4rem; height: 4.4rem; object-fit: contain;
  background: var(--card); border-radius: .2rem; image-rendering: auto; }
@media (max-width: 40rem) { td.bar, thead th:last-child { display: none; } th, td { padding: .3rem .35rem; } }
figcaption { font-size: .68rem; line-height: 1.25; color: var(--soft); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
"""
