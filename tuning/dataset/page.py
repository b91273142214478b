"""The look of `pool_report.html`, beyond what all pages share."""

STYLE = """
td.bar { width: 40%; min-width: 8rem; } .bar div { display: flex; height: .8rem; }
.bar i, .key { display: inline-block; } .key { width: .7rem; height: .7rem; margin-right: .3rem; border-radius: .1rem; }
.train { background: var(--train); } .val { background: var(--val); } .test { background: var(--test); }
.strip, .sets { display: flex; flex-wrap: wrap; gap: .6rem; }
.set { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; background: var(--card); border-radius: .4rem;
  padding: .5rem; } .set p { flex-basis: 100%; margin: 0; color: var(--soft); font-size: .75rem; text-align: center; }
figure { margin: 0; width: 4.4rem; } figure img { display: block; width: 4.4rem; height: 4.4rem; object-fit: contain;
  background: var(--card); border-radius: .2rem; image-rendering: auto; }
@media (max-width: 40rem) { td.bar, thead th:last-child { display: none; } th, td { padding: .3rem .35rem; } }
table.list th { text-align: left; }
figcaption { font-size: .68rem; line-height: 1.25; color: var(--soft); overflow-wrap: anywhere; max-height: 3.75em;
  overflow: hidden; }
@media print { .set { break-inside: avoid; } }
"""
