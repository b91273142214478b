// Parallel coordinates: one axis a hyperparameter, one line a configuration. A brush on an axis keeps the lines that
// cross it; all brushes together decide what the other charts and the table show.

const brushes = new Map();
const INACTIVE = -0.09;

// Where a value lies on its axis, from 0 (bottom) to 1.
function share(parameter, value) {
  if (value == null) return INACTIVE;
  if (parameter.kind === "choice") return parameter.choices.length > 1 ? value / (parameter.choices.length - 1) : 0.5;
  const scale = (parameter.log ? logarithmic : linear)([parameter.low, parameter.high], [0, 1]);
  return scale(value);
}

const score = (() => {
  const [low, high] = padded(compared.map((entry) => entry.compared), 0);
  return { name: "val macro-F1", kind: "number", low, high: high > low ? high : low + 1e-6, log: false };
})();
const axes = [{ parameter: score, of: (entry) => entry.compared }, ...facts.order.map((n) => ({ parameter: parameters[n], of: (entry) => entry.values[n] }))];
for (const axis of axes) axis.shares = new Map(compared.map((entry) => [entry, share(axis.parameter, axis.of(entry))]));

function select() {
  const kept = compared.filter((entry) => [...brushes].every(([n, [low, high]]) => {
    const at = axes[n].shares.get(entry);
    return at >= low - 1e-9 && at <= high + 1e-9;
  }));
  selected = brushes.size ? new Set(kept) : null;
}

// The text of a place on an axis, for a person who cannot see it.
function textAt({ parameter }, place) {
  if (parameter.kind === "choice") return String(parameter.choices[Math.round(place * (parameter.choices.length - 1))]);
  const inner = parameter.log ? [Math.log10(parameter.low), Math.log10(parameter.high)] : [parameter.low, parameter.high];
  const value = inner[0] + place * (inner[1] - inner[0]);
  return short(parameter.log ? 10 ** value : value);
}

function parallel(host) {
  const height = 390, top = 52, bottom = 40, left = 40, right = 44;
  const width = Math.max(host.clientWidth, left + right + 48 * (axes.length - 1));
  const x = (n) => (axes.length > 1 ? left + (n * (width - left - right)) / (axes.length - 1) : width / 2);
  const y = (at) => height - bottom - at * (height - top - bottom);
  const behind = svg("path", { class: "line dim" });
  const layers = Array.from({ length: SHADES }, (_, n) => svg("path", { class: `line s${n}` }));
  const special = svg("g");
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "parallel coordinates" }, behind, ...layers, special);
  for (const entry of compared) entry.line = line(axes.map((axis, n) => [x(n), y(axis.shares.get(entry))]));

  const paint = () => {
    const parts = Array.from({ length: SHADES }, () => "");
    let dim = "";
    special.replaceChildren();
    for (const entry of compared) {
      if (!chosen(entry)) { dim += entry.line; continue; }
      parts[shade(entry.compared)] += entry.line;
      if (entry.baseline) special.append(svg("path", { class: "line reference", d: entry.line }));
      else if (entry.rank) special.append(svg("path", { class: "line finalist", d: entry.line }));
    }
    behind.setAttribute("d", dim);
    parts.forEach((part, n) => layers[n].setAttribute("d", part));
  };

  const thumbs = [];
  axes.forEach((axis, n) => {
    const { parameter } = axis, tall = y(0) - y(1);
    const band = svg("rect", { class: "brush", x: x(n) - 10, width: 20, hidden: "" });
    const handle = (end) => {
      const thumb = svg("g", { class: "thumb", role: "slider", tabindex: thumbs.length ? -1 : 0, "aria-orientation": "vertical",
        "aria-label": `${parameter.name}, ${end ? "upper" : "lower"} end`, "aria-valuemin": 0, "aria-valuemax": 100 },
        svg("rect", { x: -11, y: -5, width: 22, height: 10, rx: 4 }));
      thumbs.push(thumb);
      return thumb;
    };
    const ends = [handle(0), handle(1)];
    const place = () => {
      const [low, high] = brushes.get(n) ?? [0, 1];
      band.toggleAttribute("hidden", !brushes.has(n));
      band.setAttribute("y", y(high));
      band.setAttribute("height", Math.max(2, y(low) - y(high)));
      [low, high].forEach((at, end) => {
        ends[end].setAttribute("transform", `translate(${x(n)} ${y(at) + (end ? -10 : 10)})`);
        ends[end].setAttribute("aria-valuenow", Math.round(at * 100));
        ends[end].setAttribute("aria-valuetext", textAt(axis, at));
      });
    };
    const brush = (low, high) => {
      const clamp = (at) => Math.min(1, Math.max(0, at));
      low = clamp(low); high = clamp(high);
      if (low <= 0 && high >= 1) brushes.delete(n); else brushes.set(n, [low, high]);
      place();
      select();
      paint();
      announce();
    };
    axis.place = place;
    // The whole height of an axis takes a drag; on one of its thumbs the other end stays.
    const grip = svg("rect", { class: "grip", x: x(n) - 18, width: 36, y: y(1) - 16, height: tall + 32 });
    const drag = (event, anchor) => {
      event.preventDefault();
      const at = (move) => (y(0) - (move.clientY - root.getBoundingClientRect().top)) / tall;
      const start = anchor ?? at(event);
      let moved = anchor != null;
      const target = event.currentTarget;
      target.setPointerCapture(event.pointerId);
      target.onpointermove = (move) => {
        if (!moved && Math.abs(at(move) - start) * tall < 4) return;
        moved = true;
        brush(Math.min(start, at(move)), Math.max(start, at(move)));
      };
      target.onpointerup = target.onpointercancel = () => {
        target.onpointermove = target.onpointerup = target.onpointercancel = null;
        // A mere click clears the axis.
        if (!moved) brush(0, 1);
        follow();
      };
    };
    grip.addEventListener("pointerdown", (event) => drag(event));
    ends.forEach((thumb, end) => {
      thumb.addEventListener("pointerdown", (event) => drag(event, (brushes.get(n) ?? [0, 1])[1 - end]));
      thumb.addEventListener("keydown", (event) => {
        const [low, high] = brushes.get(n) ?? [0, 1];
        const step = parameter.kind === "choice" && parameter.choices.length > 1 ? 1 / (parameter.choices.length - 1) : event.shiftKey ? 0.2 : 0.05;
        const move = { ArrowUp: step, ArrowDown: -step, PageUp: 0.2, PageDown: -0.2 }[event.key];
        const turn = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (turn) {
          const next = thumbs[(thumbs.indexOf(thumb) + turn + thumbs.length) % thumbs.length];
          thumb.setAttribute("tabindex", -1);
          next.setAttribute("tabindex", 0);
          next.focus();
        } else if (move) brush(end ? low : Math.min(low + move, high), end ? Math.max(high + move, low) : high);
        else if (event.key === "Home") brush(end ? low : 0, end ? low : high);
        else if (event.key === "End") brush(end ? low : high, end ? 1 : high);
        else if (event.key === "Escape" || event.key === "Delete") brush(0, 1);
        else return;
        event.preventDefault();
        if (!turn) follow();
      });
    });
    const labels = svg("g", { class: "labels" });
    const name = parameter.name.length > 15 ? `${parameter.name.slice(0, 14)}…` : parameter.name;
    labels.append(svg("text", { class: "name", x: x(n), y: n % 2 ? 12 : 26, "text-anchor": "middle" }, svg("title", {}, parameter.name), name));
    const ticks = parameter.kind === "choice"
      ? parameter.choices.map((choice, index) => [share(parameter, index), String(choice)])
      : (parameter.log ? logarithmic : linear)([parameter.low, parameter.high], [0, 1]).ticks(5).map((tick) => [share(parameter, tick), short(tick)]);
    for (const [at, text] of ticks)
      labels.append(svg("text", { class: "tick", x: x(n) + 5, y: y(at), dy: "0.32em" }, text.length > 9 ? `${text.slice(0, 8)}…` : text));
    if (compared.some((entry) => axis.shares.get(entry) === INACTIVE))
      labels.append(svg("text", { class: "tick none", x: x(n) + 5, y: y(INACTIVE), dy: "0.32em" }, "unused"));
    root.append(svg("line", { class: "axis", x1: x(n), x2: x(n), y1: y(0), y2: y(1) }), labels, band, grip, ...ends);
    place();
  });
  host.replaceChildren(root);
  paint();
}

function announce() {
  const words = document.getElementById("brush-words");
  // Where nothing can be told of the configurations, there is nothing to brush.
  if (!words) return;
  const kept = compared.filter(chosen);
  const top = kept.reduce((found, entry) => (found && found.compared >= entry.compared ? found : entry), null);
  words.textContent = selected
    ? `${kept.length} of ${compared.length} configurations selected` + (top ? `; best: trial ${top.id} with ${top.compared.toFixed(3)}.` : ".")
    : `All ${compared.length} configurations are shown.`;
  document.getElementById("brush-clear").disabled = !selected;
}

// The other charts and the table follow once a brush rests: in the middle of a drag they would slow it down.
function follow() {
  for (const host of document.querySelectorAll('[data-chart="curves"], [data-chart="cost"], [data-chart="slices"]')) redraw(host);
  fillTable();
}

function clearBrushes() {
  brushes.clear();
  select();
  announce();
  for (const host of document.querySelectorAll('[data-chart="parallel"]')) redraw(host);
  follow();
}
