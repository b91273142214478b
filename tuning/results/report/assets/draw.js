// Drawing: SVG elements, scales, a frame with axes, and a way to point at things with mouse, finger or keyboard.

const facts = JSON.parse(document.getElementById("data").textContent);

function element(space, tag, attributes, children) {
  const made = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children.filter((child) => child != null));
  return made;
}
const svg = (tag, attributes = {}, ...children) => element("http://www.w3.org/2000/svg", tag, attributes, children);
const html = (tag, attributes = {}, ...children) => element(null, tag, attributes, children);

// Scales map values to pixels; `ticks` are values worth a label.
function linear([low, high], [from, to]) {
  const scale = (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  scale.ticks = (count) => {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough)), over = rough / power;
    // The round step that is nearest in proportion.
    const step = power * (over >= Math.sqrt(50) ? 10 : over >= Math.sqrt(10) ? 5 : over >= Math.sqrt(2) ? 2 : 1);
    const ticks = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) ticks.push(+(n * step).toPrecision(12));
    return ticks;
  };
  return scale;
}
function logarithmic([low, high], range) {
  const inner = linear([Math.log10(low), Math.log10(high)], range);
  const scale = (value) => inner(Math.log10(value));
  scale.ticks = (count) => {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
        for (const step of steps) {
          const value = +(step * 10 ** power).toPrecision(6);
          if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
        }
      if (ticks.length <= count + 1 || steps.length === 1) return ticks;
    }
  };
  return scale;
}
function bands(names, [from, to]) {
  const width = (to - from) / names.length;
  const scale = (index) => from + width * (index + 0.5);
  scale.ticks = () => names.map((_, index) => index);
  scale.width = Math.abs(width);
  return scale;
}

const short = (value) => {
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(size < 1e-3 ? 1 : 2).replace(/\.0(?=e)/, "").replace("e+", "e");
  return String(+value.toPrecision(4));
};
const duration = (seconds) => {
  if (seconds < 120 && seconds !== 60) return `${Math.round(seconds < 10 ? seconds * 10 : seconds) / (seconds < 10 ? 10 : 1)} s`;
  const minutes = Math.floor(seconds / 60), rest = Math.round(seconds % 60) % 60;
  if (minutes < 10) return rest ? `${minutes}:${String(rest).padStart(2, "0")} min` : `${minutes} min`;
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
};
// Time axes step in minutes and hours, not in hundreds of seconds.
function clock(domain, range) {
  const scale = linear(domain, range);
  scale.ticks = (count) => {
    const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
    const step = steps.find((size) => (domain[1] - domain[0]) / size <= count) ?? 86400 * Math.ceil((domain[1] - domain[0]) / 86400 / count);
    const ticks = [];
    for (let at = Math.ceil(domain[0] / step) * step; at <= domain[1] * 1.0001; at += step) ticks.push(at);
    return ticks;
  };
  return scale;
}

function logclock(domain, range) {
  const scale = logarithmic(domain, range);
  scale.ticks = (count) => {
    const ticks = [0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 259200, 864000].filter(
      (tick) => tick >= domain[0] && tick <= domain[1],
    );
    return ticks.filter((_, n) => n % Math.ceil(ticks.length / count) === 0);
  };
  return scale;
}

// A little air around the data; a single value gets some too.
function padded(values, share = 0.04) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value != null) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [0, 1];
  const air = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

// An SVG with axes; `x` and `y` are {kind, domain, label, format, whole: labels at whole numbers only}. Returns the scales and the group to draw in.
function frame(host, { x, y, height = 280, title, left = 46, right = 12 }) {
  const width = Math.max(180, host.clientWidth), top = 10, bottom = x.label ? 42 : 28;
  const kinds = { linear, logarithmic, bands, clock, logclock };
  const xs = kinds[x.kind ?? "linear"](x.domain, [left, width - right]);
  const ys = kinds[y.kind ?? "linear"](y.domain, [height - bottom, top]);
  const grid = svg("g", { class: "grid" }), marks = svg("g"), labels = svg("g", { class: "labels" });
  for (const tick of ys.ticks(Math.max(2, Math.round(height / 55)))) {
    grid.append(svg("line", { x1: left, x2: width - right, y1: ys(tick), y2: ys(tick) }));
    labels.append(svg("text", { x: left - 6, y: ys(tick), dy: "0.32em", "text-anchor": "end" }, (y.format ?? short)(tick)));
  }
  const room = x.kind === "bands" ? x.domain.length : Math.max(2, Math.floor((width - left) / 58));
  for (const tick of xs.ticks(room).filter((tick) => !x.whole || Number.isInteger(tick))) {
    const text = x.kind === "bands" ? String((x.format ?? String)(x.domain[tick])) : (x.format ?? short)(tick);
    const fits = x.kind === "bands" ? Math.max(2, Math.floor(xs.width / 6.2)) : 99;
    const shown = text.length > fits ? `${text.slice(0, fits - 1)}…` : text;
    const beyond = xs(tick) + shown.length * 3.2 > width;
    labels.append(svg("text", { x: beyond ? width - 1 : xs(tick), y: height - bottom + 16, "text-anchor": beyond ? "end" : "middle" }, shown));
    if (x.kind !== "bands") grid.append(svg("line", { x1: xs(tick), x2: xs(tick), y1: height - bottom, y2: height - bottom + 4 }));
  }
  grid.append(svg("line", { class: "base", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  if (x.label) labels.append(svg("text", { class: "name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.label));
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, grid, marks, labels);
  host.replaceChildren(root);
  return { root, marks, x: xs, y: ys, width, height, bottom: height - bottom, top, left, right };
}

const line = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
// Thousands of dots as one element: lines of no length with round ends.
const dots = (points) => points.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");

const tip = html("div", { class: "tip", role: "status", hidden: "" });
document.body.append(tip);

// Points are {x, y, text}; `mark(point)` may draw more. The pointer finds the nearest; arrow keys step through `stops`.
function explore(chart, points, mark = () => [], stops = points) {
  if (!points.length) return;
  const { root } = chart;
  const halo = svg("g", { class: "halo" });
  root.append(halo);
  root.setAttribute("tabindex", "0");
  root.setAttribute("aria-label", `${root.getAttribute("aria-label")}. Arrow keys step through it.`);
  let place = -1;
  const show = (point) => {
    halo.replaceChildren(...(point ? [...mark(point), svg("circle", { cx: point.x, cy: point.y, r: 5 })] : []));
    tip.hidden = !point;
    if (!point) return;
    tip.textContent = point.text;
    const box = root.getBoundingClientRect();
    const half = tip.offsetWidth / 2 + 4;
    const left = Math.min(Math.max(box.left + point.x, half), document.documentElement.clientWidth - half);
    const above = box.top + point.y - tip.offsetHeight - 12;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above < 0 ? box.top + point.y + 14 : above) + scrollY}px`;
  };
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let nearest = null, least = 900;
    for (const point of points) {
      const away = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (away < least) [nearest, least] = [point, away];
    }
    show(nearest);
  });
  root.addEventListener("pointerleave", () => show(null));
  root.addEventListener("blur", () => show(null));
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") show(null);
    if (!step && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    place = event.key === "Home" ? 0 : event.key === "End" ? stops.length - 1 : place + step;
    place = Math.min(Math.max(place, 0), stops.length - 1);
    show(stops[place]);
  });
}
