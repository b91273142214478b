// Makes the page's charts and table interactive: hover over a configuration, click it for details, filter by axes,
// sort. The charts themselves are static; every mark of a configuration carries its number in `data-c`.

const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const make = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const table = document.getElementById("trials");
const body = table?.tBodies[0];
const rows = new Map(all("#trials tbody tr").map((row) => [row.dataset.c, row]));
const baseline = document.querySelector("#trials tr.baseline")?.dataset.c;

// For each chart: the points of every configuration, in units of the drawing area, and the paths of its lines.
const readChart = (plot) => {
  const points = [], lines = new Map();
  for (const path of all("[data-c]", plot)) {
    const d = path.getAttribute("d"), places = [...d.matchAll(/[ML](\S+?) ([\d.-]+)/g)], owners = path.dataset.c.split(" ");
    const single = path.classList.contains("curve");
    if (single) lines.set(owners[0], d);
    places.forEach(([, x, y], n) => points.push({ c: owners[single ? 0 : n] ?? owners[0], x: +x, y: +y }));
  }
  return { plot, svg: plot.querySelector("svg"), points, lines };
};
const charts = all("[data-chart]").map(readChart).filter(({ points }) => points.length);

// Draws an extra path in each chart over the marks of the `chosen` configurations; with `lined`, also over their lines.
function overlay(kind, chosen, lined = true) {
  const own = new Set(chosen);
  for (const { svg, points, lines } of charts) {
    let path = svg.querySelector(`.${kind}`);
    if (!path) svg.append((path = document.createElementNS("http://www.w3.org/2000/svg", "path")));
    path.setAttribute("class", `${kind}${lines.size ? "" : " dots"}`);
    const apart = points.filter(({ c }) => own.has(c) && !lines.has(c)).map(({ x, y }) => `M${x} ${y}h0`);
    path.setAttribute("d", [...(lined ? chosen.map((c) => lines.get(c) ?? "") : []), ...apart].join(""));
  }
}

// Tooltip for the configuration under the pointer.
const tip = make("div", { className: "tip", hidden: true });
tip.setAttribute("role", "status");
document.body.append(tip);
function show(chart, point) {
  tip.hidden = !point;
  overlay("hover", point ? [point.c] : []);
  if (!point) return;
  const { plot, svg } = chart, box = svg.getBoundingClientRect(), [left, right, low, high] = plot.dataset.scale.split(" ").map(Number);
  const name = { curves: "macro-F1", loss: "loss" }[plot.dataset.chart];
  const here = name ? `; ${name} ${(high - (point.y / 1000) * (high - low)).toFixed(3)} at epoch ${+(left + (point.x / 1000) * (right - left)).toFixed(1)}` : "";
  tip.textContent = rows.get(point.c).title + here;
  const half = tip.offsetWidth / 2 + 4, x = box.left + (point.x / 1000) * box.width, y = box.top + (point.y / 1000) * box.height;
  tip.style.left = `${Math.min(Math.max(x, half), document.documentElement.clientWidth - half) + scrollX}px`;
  tip.style.top = `${(y - tip.offsetHeight < 14 ? y + 14 : y - tip.offsetHeight - 12) + scrollY}px`;
}
function nearest({ svg, points }, event) {
  const box = svg.getBoundingClientRect();
  let found = null, least = 900;
  for (const point of points) {
    const away = (box.left + (point.x / 1000) * box.width - event.clientX) ** 2 + (box.top + (point.y / 1000) * box.height - event.clientY) ** 2;
    if (away < least) [found, least] = [point, away];
  }
  return found;
}
for (const chart of charts) {
  const { plot, points } = chart, stops = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  let place = -1;
  plot.tabIndex = 0;
  plot.setAttribute("aria-label", `${plot.getAttribute("aria-label")}. Arrow keys step through it, Enter opens details.`);
  plot.addEventListener("pointermove", (event) => show(chart, nearest(chart, event)));
  plot.addEventListener("pointerleave", () => show(chart, null));
  plot.addEventListener("blur", () => show(chart, null));
  plot.addEventListener("click", (event) => { const found = nearest(chart, event); if (found) pick(found.c, plot); });
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") show(chart, null);
    if (event.key === "Enter" && stops[place]) pick(stops[place].c, plot);
    if (!step) return;
    event.preventDefault();
    place = Math.min(Math.max(place + step, 0), stops.length - 1);
    show(chart, stops[place]);
  });
}

// Details of one configuration, or of two side by side, compared with the baseline.
let picked = [], opener = null;
const panel = make("aside", { id: "detail", hidden: true, tabIndex: -1 });
panel.setAttribute("aria-label", "Details of a configuration");
document.body.append(panel);
const compare = make("input", { type: "checkbox", id: "compare" });
function pick(c, from) {
  if (!rows.has(c)) return;
  if (panel.hidden) opener = from;
  picked = compare.checked && picked.length && picked[0] !== c ? [picked[0], c] : [c];
  describe();
  panel.focus({ preventScroll: true });
}
function describe() {
  const shown = [...picked, ...(baseline && !picked.includes(baseline) ? [baseline] : [])].map((c) => rows.get(c));
  const names = shown.map((row) => (row.dataset.c === baseline ? "baseline" : `trial ${row.dataset.trial}`));
  const heads = all("thead th", table).map((head) => head.dataset.name);
  const lines = heads.slice(1).map((name, n) => {
    const cells = shown.map((row) => row.cells[n + 1]), last = cells.at(-1).dataset.v;
    const line = make("tr", {}, make("th", { scope: "row", textContent: name }));
    for (const cell of cells) line.append(make("td", { innerHTML: cell.innerHTML || "–", className: cell.dataset.v !== last && n > 2 && n < heads.length - 2 ? "other" : "" }));
    return line;
  });
  const head = make("tr", {}, make("th"), ...names.map((textContent) => make("th", { scope: "col", textContent })));
  const close = make("button", { type: "button", textContent: "close", onclick: () => { picked = []; compare.checked = false; panel.hidden = true; overlay("pick", []); opener?.focus(); } });
  const bare = picked.map((c) => rows.get(c)).filter((row) => !row.querySelector("a"));
  const search = table.dataset.search;
  panel.replaceChildren(
    make("div", { className: "bar-row" }, make("h2", { textContent: names.slice(0, picked.length).join(" and ") }), close),
    make("p", { className: "note", textContent: picked.map((c) => rows.get(c).title).join("; ") + "." }),
    make("label", { className: "bar-row" }, compare, "compare it with the next one I click"),
    curve(),
    make("div", { className: "scroll" }, make("table", { className: "numbers" }, make("thead", {}, head), make("tbody", {}, ...lines))),
    make("p", { className: "note", textContent: "Bold: differs from the last column. A link opens the folder of a run." }),
    ...bare.map((row) => make("p", { className: "note" }, `Trial ${row.dataset.trial} was not retrained: it has no folder of a run. To train it in full: `,
      make("code", { textContent: `python -m tuning.train --from-trial ${search}/${row.dataset.trial}` }))),
  );
  panel.hidden = false;
  overlay("pick", picked);
}
function curve() {
  const found = charts.find(({ plot }) => plot.dataset.chart === "curves");
  if (!found) return "";
  const copy = found.plot.cloneNode(true), kept = [...picked, baseline];
  copy.removeAttribute("tabindex");
  for (const mark of all("[data-c], .tag, .pick, .hover, .kept", copy)) if (!kept.includes(mark.dataset.c)) mark.remove();
  all("[data-c]", copy).forEach((path) => path.dataset.c !== baseline && path.setAttribute("class", picked.indexOf(path.dataset.c) ? "curve second" : "curve first"));
  copy.classList.remove("filtered");
  return copy;
}
panel.addEventListener("keydown", (event) => { if (event.key === "Escape") panel.querySelector("button").click(); });

// The table: clicking a header sorts it, clicking a row opens its details; rows outside the brushes are hidden.
let sortBy = 1, descending = true, selected = null;
function order() {
  const value = (row) => { const text = row.cells[sortBy].dataset.v; return text === "" || isNaN(text) ? text : +text; };
  const found = [...rows.values()].sort((a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === "" || other === "") return (one === "") - (other === "");
    return (descending ? -1 : 1) * (one < other ? -1 : one > other ? 1 : 0);
  });
  const hidden = (row) => Boolean(selected && !selected.has(row.dataset.c));
  found.forEach((row) => { row.hidden = hidden(row); });
  body.append(...found.filter((row) => !hidden(row)), ...found.filter(hidden));
  all("thead th", table).forEach((head, n) => {
    if (n === sortBy) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
    head.firstChild.textContent = head.dataset.name + (n === sortBy ? (descending ? " ↓" : " ↑") : "");
  });
}

// Brushes on the axes of the parallel coordinates: shares of each axis, from 0 (its lower end) to 1.
const brushes = new Map(), END = 900;
const parallel = charts.find(({ plot }) => plot.dataset.chart === "parallel");
const shares = new Map(); // configuration → its position on each axis, as a share; below 0 if it has no value there
for (const { c, y } of parallel?.points ?? []) shares.set(c, [...(shares.get(c) ?? []), 1 - y / END]);
function filter(rest = true) {
  const within = (own) => [...brushes].every(([n, [low, high]]) => own[n] >= low - 1e-3 && own[n] <= high + 1e-3);
  selected = brushes.size ? new Set([...shares].filter(([, own]) => within(own)).map(([c]) => c)) : null;
  const kept = [...rows.values()].filter((row) => !selected || selected.has(row.dataset.c));
  const top = kept.reduce((best, row) => (best && +best.cells[1].dataset.v >= +row.cells[1].dataset.v ? best : row), null);
  document.getElementById("brush-words").textContent = !selected ? `All ${rows.size} configurations are shown.`
    : `${kept.length} of ${shares.size} configurations selected${top ? `; best: trial ${top.dataset.trial} with ${(+top.cells[1].dataset.v).toFixed(3)}` : ""}.`;
  document.getElementById("brush-clear").disabled = !selected;
  if (!rest) return;
  for (const { plot } of charts) {
    plot.classList.toggle("filtered", Boolean(selected));
    for (const path of all(".curve[data-c]", plot)) path.classList.toggle("out", Boolean(selected && !selected.has(path.dataset.c)));
  }
  overlay("kept", selected ? [...selected] : [], false);
  order();
}
function addBrushes() {
  const names = all(".axis-name", parallel.plot), words = make("span", { id: "brush-words" });
  words.setAttribute("role", "status");
  const choice = make("select", { ariaLabel: "axis" }, ...names.map((name, n) => make("option", { value: n, textContent: name.textContent })));
  const end = (ariaLabel, value) => make("input", { type: "range", min: 0, max: 100, value, ariaLabel });
  const [low, high] = [end("from, in percent of the axis", 0), end("to, in percent of the axis", 100)];
  const bands = names.map((name, n) => {
    const band = make("i", { hidden: true }), grip = make("div", { className: "grip" }, band);
    grip.style.left = name.style.left;
    let start = null;
    const at = (event) => 1 - (event.clientY - grip.getBoundingClientRect().top) / grip.clientHeight;
    grip.addEventListener("pointerdown", (event) => { start = at(event); choice.value = n; grip.setPointerCapture(event.pointerId); });
    grip.addEventListener("pointermove", (event) => {
      if (start == null) return;
      event.stopPropagation();
      show(parallel, null);
      if (Math.abs(at(event) - start) * grip.clientHeight > 4) brush(n, Math.min(start, at(event)), Math.max(start, at(event)));
    });
    grip.addEventListener("click", (event) => {
      event.stopPropagation();
      if (Math.abs(at(event) - start) * grip.clientHeight > 4) { start = null; return; }
      start = null;
      if (brushes.has(n)) brush(n, 0, 1);
      else { const found = nearest(parallel, event); if (found) pick(found.c, parallel.plot); }
    });
    grip.addEventListener("pointercancel", () => { start = null; });
    return grip;
  });
  const brush = (n, from, to) => {
    [from, to] = [Math.max(0, from), Math.min(1, to)];
    if (from <= 0 && to >= 1) brushes.delete(n); else brushes.set(n, [from, to]);
    follow(n);
    filter();
  };
  const follow = (n) => {
    const [from, to] = brushes.get(n) ?? [0, 1], band = bands[n].firstChild;
    band.hidden = !brushes.has(n);
    Object.assign(band.style, { top: `${100 * (1 - to)}%`, bottom: `${100 * from}%` });
    if (+choice.value === n) [low.value, high.value] = [100 * from, 100 * to];
  };
  const moved = () => brush(+choice.value, Math.min(low.value, high.value) / 100, Math.max(low.value, high.value) / 100);
  low.addEventListener("input", moved);
  high.addEventListener("input", moved);
  choice.addEventListener("change", () => follow(+choice.value));
  const clear = make("button", { type: "button", id: "brush-clear", textContent: "clear", onclick: () => { brushes.clear(); bands.forEach((_, n) => follow(n)); filter(); } });
  parallel.plot.append(...bands);
  document.getElementById("brushes").append(words, make("label", {}, "only ", choice, " from ", low, " to ", high), clear);
  filter(false);
}
if (table) {
  all("thead th", table).forEach((head, n) => {
    head.dataset.name = head.textContent;
    head.replaceChildren(make("button", { type: "button", textContent: head.textContent, onclick: () => { descending = n === sortBy ? !descending : n === 1; sortBy = n; order(); } }));
  });
  for (const [c, row] of rows) {
    row.addEventListener("click", (event) => { if (!event.target.closest("a")) pick(c, row.querySelector("button")); });
    row.cells[0].replaceChildren(make("button", { type: "button", textContent: row.cells[0].textContent }));
  }
  order();
  if (parallel) addBrushes();
}
const command = document.getElementById("command");
document.getElementById("copying")?.append(make("button", { type: "button", id: "copy", textContent: "copy", onclick: async ({ target }) => {
  // Browsers may deny clipboard access to a local file; then the command is selected, ready to be copied.
  try {
    await navigator.clipboard.writeText(command.textContent);
    target.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(command);
  }
} }));
document.documentElement.dataset.ready = "yes";
