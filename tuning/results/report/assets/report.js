// Puts the page together: charts are drawn when they come near the window, and again when it changes its width.

const FEW = 12;
let sortBy = "score", descending = true, whole = false;

function columns() {
  const own = facts.order.map((n) => ({ key: `p${n}`, name: parameters[n].name, of: (entry) => entry.values[n], text: (entry) => valueText(parameters[n], entry.values[n]) }));
  return [
    { key: "id", name: "trial", of: (entry) => entry.id, text: (entry) => entry.id + (entry.rank ? ` ★${entry.rank}` : "") + (entry.baseline ? " baseline" : "") },
    { key: "score", name: "val macro-F1", of: (entry) => entry.score, text: (entry) => entry.score.toFixed(4) },
    { key: "epochs", name: "epochs", of: (entry) => entry.epochs, text: (entry) => entry.epochs },
    { key: "seconds", name: "time", of: (entry) => entry.seconds, text: (entry) => duration(entry.seconds) },
    ...own,
  ];
}

function fillTable() {
  const table = document.getElementById("trials");
  if (!table) return;
  const all = columns(), column = all.find(({ key }) => key === sortBy), sign = descending ? -1 : 1;
  const rows = scored.filter(chosen).sort((a, b) => {
    const [one, other] = [column.of(a), column.of(b)];
    if (one == null || other == null) return (one == null) - (other == null);
    return sign * (one < other ? -1 : one > other ? 1 : 0);
  });
  const head = html("tr", {}, ...all.map(({ key, name }) => {
    const button = html("button", { type: "button" }, name + (key === sortBy ? (descending ? " ↓" : " ↑") : ""));
    button.addEventListener("click", () => {
      descending = key === sortBy ? !descending : key === "score";
      sortBy = key;
      fillTable();
      document.querySelector(`#trials th[data-key="${key}"] button`).focus();
    });
    return html("th", { scope: "col", "data-key": key, "aria-sort": key === sortBy ? (descending ? "descending" : "ascending") : null }, button);
  }));
  const shown = whole ? rows : rows.slice(0, FEW);
  const body = shown.map((entry) => html("tr", {}, ...all.map(({ text }) => html("td", {}, String(text(entry))))));
  table.replaceChildren(html("thead", {}, head), html("tbody", {}, ...body));
  const more = document.getElementById("trials-more");
  more.hidden = rows.length <= FEW;
  more.textContent = whole ? `show the first ${FEW}` : `show all ${rows.length}`;
}

const charts = { best, curves, rungs, cost, slices, calibration, parallel };
const drawn = new WeakMap();

function redraw(host) {
  if (!drawn.has(host)) return;
  drawn.set(host, host.clientWidth);
  charts[host.dataset.chart](host);
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) begin(target);
}, { rootMargin: "400px" });
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.clientWidth && target.clientWidth !== drawn.get(target)) redraw(target);
});

const hosts = [...document.querySelectorAll("[data-chart]")];
document.documentElement.classList.toggle("many", configurations.length > 200);
hosts.forEach((host) => near.observe(host));
// Whoever jumps to a section finds it drawn: one chart after the other, whenever there is nothing else to do.
const begin = (host) => {
  if (drawn.has(host) || !host.clientWidth) return;
  near.unobserve(host);
  drawn.set(host, 0);
  redraw(host);
  resized.observe(host);
};
const idle = globalThis.requestIdleCallback ?? ((act) => setTimeout(act, 100));
const drawOn = (left) => {
  if (left.length) idle(() => { begin(left[0]); drawOn(left.slice(1)); });
};
drawOn(hosts);
addEventListener("beforeprint", () => hosts.forEach(begin));
for (const [control, chart] of [["best-axis", "best"], ["curve-metric", "curves"]])
  document.getElementById(control)?.addEventListener("change", () => redraw(document.querySelector(`[data-chart="${chart}"]`)));
document.getElementById("brush-clear")?.addEventListener("click", clearBrushes);
document.getElementById("trials-more")?.addEventListener("click", () => { whole = !whole; fillTable(); });
document.getElementById("copy")?.addEventListener("click", async (event) => {
  const text = document.getElementById("command").textContent;
  // A file of one's own disk may not be let near the clipboard: then the line is selected, ready to be copied.
  try {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById("command"));
  }
});
if (document.getElementById("trials")) { announce(); fillTable(); }
document.documentElement.dataset.ready = "yes";
