// The charts. Each takes the element it draws in; `selected` says which configurations the brushes leave.

const { configurations, parameters, steps } = facts;
const scored = configurations.filter((entry) => entry.score != null);
// What coordinates and slices show: scores after the same epochs.
const compared = configurations.filter((entry) => entry.compared != null);
const finalists = scored.filter((entry) => entry.rank != null).sort((a, b) => a.rank - b.rank);
let selected = null;
const chosen = (entry) => !selected || selected.has(entry);

// Eight shades from the worst to the best score; the lowest twentieth shares one, so that a runaway does not bleach the rest.
const SHADES = 8;
const [lowest, highest] = (() => {
  const sorted = scored.map((entry) => entry.score).sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length / 20)] ?? 0, sorted.at(-1) ?? 1];
})();
const shade = (score) => Math.max(0, Math.min(SHADES - 1, Math.floor(((score - lowest) / (highest - lowest || 1)) * SHADES)));

const role = (entry) => (entry.rank ? `finalist ${entry.rank}, ` : "") + (entry.baseline ? "baseline, " : "");
const epochAt = (entry, index) => facts.epochs[Math.min(index * facts.stride, entry.points - 1)];
const about = (entry) => `${role(entry)}trial ${entry.id}: ${entry.score.toFixed(3)} after ${entry.epochs} epoch${entry.epochs === 1 ? "" : "s"}`;
const valueText = (parameter, value) =>
  value == null ? "–" : parameter.kind === "choice" ? String(parameter.choices[value]) : short(value);

// Dots by shade, the unselected below all others; then finalists and baseline with their own marks.
function scatter(chart, points) {
  const layers = Array.from({ length: SHADES }, () => []);
  const dim = [];
  for (const point of points) (chosen(point.entry) ? layers[shade(point.score ?? point.entry.score)] : dim).push([point.x, point.y]);
  if (dim.length) chart.marks.append(svg("path", { class: "dots dim", d: dots(dim) }));
  layers.forEach((layer, n) => layer.length && chart.marks.append(svg("path", { class: `dots s${n}`, d: dots(layer) })));
  for (const point of points) {
    if (!chosen(point.entry)) continue;
    if (point.entry.rank) chart.marks.append(svg("circle", { class: "finalist", cx: point.x, cy: point.y, r: 6 }));
    if (point.entry.baseline) chart.marks.append(svg("rect", { class: "baseline", x: point.x - 5, y: point.y - 5, width: 10, height: 10 }));
  }
}

const AXES = {
  seconds: { at: 2, kind: "clock", label: "running time", format: duration },
  epochs: { at: 1, label: "epochs trained, all trials together", whole: true },
  trials: { at: 0, label: "trials ended", whole: true },
};

function best(host) {
  const axis = AXES[document.getElementById("best-axis").value];
  const shown = steps.filter((step) => step[4] != null);
  if (!shown.length) return empty(host, "No trial has ended well yet.");
  const last = Math.max(...steps.map((step) => step[axis.at]));
  const base = configurations.find((entry) => entry.baseline && entry.score != null);
  const chart = frame(host, {
    x: { ...axis, domain: [0, last] },
    y: { domain: padded(shown.flatMap((step) => [step[3], step[4]])) },
    title: `best validation macro-F1 so far: ${shown.at(-1)[4].toFixed(3)} at the end`,
  });
  const points = shown.filter((step) => step[3] != null).map((step) => ({
    x: chart.x(step[axis.at]), y: chart.y(step[3]),
    text: `trial ${step[5]}: ${step[3].toFixed(3)}; best so far ${step[4].toFixed(3)}, after ${step[0]} trials, ${step[1]} epochs` +
      (step[2] == null ? "" : `, ${duration(step[2])}`),
  }));
  chart.marks.append(svg("path", { class: "dots soft", d: dots(points.map(({ x, y }) => [x, y])) }));
  const path = [];
  for (const step of shown) {
    const x = chart.x(step[axis.at]), y = chart.y(step[4]);
    if (path.length) path.push([x, path.at(-1)[1]]);
    path.push([x, y]);
  }
  path.push([chart.x(last), path.at(-1)[1]]);
  chart.marks.append(svg("path", { class: "best", d: line(path) }));
  if (base) {
    const y = chart.y(base.score);
    chart.marks.append(
      svg("line", { class: "reference", x1: chart.left, x2: chart.width - chart.right, y1: y, y2: y }),
      svg("text", { class: "reference", x: chart.left + 4, y: y - 5 }, `baseline ${base.score.toFixed(3)} (${base.epochs} ep.)`),
    );
  }
  explore(chart, points);
}

function curves(host) {
  const metric = document.getElementById("curve-metric").value;
  const shown = configurations.filter((entry) => entry[metric].some((value) => value != null));
  if (!shown.length) return empty(host, "No trial has ended yet.");
  const values = shown.flatMap((entry) => entry[metric]).filter((value) => value != null).sort((a, b) => a - b);
  // One loss that ran away must not flatten all the others.
  const domain = metric === "loss" ? [values[0], values[Math.floor(values.length * 0.98)]] : [values[0], values.at(-1)];
  const clip = (value) => Math.min(value, domain[1]);
  const chart = frame(host, {
    x: { domain: [Math.min(1, facts.epochs[0]), Math.max(2, ...shown.map((entry) => entry.epochs))], label: "epoch", whole: true },
    y: { domain: padded(domain) }, height: 340, right: 72,
    title: `learning curves of ${shown.length} configurations`,
  });
  const points = [], stops = [], above = [], tags = [];
  for (const entry of [...shown].sort((a, b) => (a.score ?? 0) - (b.score ?? 0))) {
    const path = [];
    entry[metric].forEach((value, n) => {
      if (value == null) return;
      const x = chart.x(epochAt(entry, n)), y = chart.y(clip(value));
      path.push([x, y]);
      points.push({ x, y, entry, text: `${role(entry)}trial ${entry.id}, epoch ${epochAt(entry, n)}: ${value.toFixed(3)}` });
    });
    entry.path = line(path);
    stops.push(points.at(-1));
    if (!path.length) continue;
    const kind = entry.baseline ? "reference" : entry.rank ? "finalist" : chosen(entry) ? `s${shade(entry.score ?? lowest)}` : "dim";
    const drawn = path.length > 1
      ? svg("path", { class: `curve ${kind}`, d: entry.path })
      : svg("path", { class: `dots ${kind}`, d: dots(path) });
    if (!entry.rank && !entry.baseline) { chart.marks.append(drawn); continue; }
    above.push(drawn);
    tags.push({ x: path.at(-1)[0], y: path.at(-1)[1], kind, text: `${entry.rank ?? ""} ${entry.baseline ? "baseline" : ""}`.trim() });
  }
  // Tags stand where their curves end, none upon another.
  const placed = [];
  for (const tag of tags.sort((a, b) => a.y - b.y)) {
    for (const other of placed) if (Math.abs(other.x - tag.x) < 50 && tag.y - other.y < 14) tag.y = other.y + 14;
    placed.push(tag);
    above.push(svg("text", { class: `tag ${tag.kind}`, x: tag.x + 6, y: tag.y, dy: "0.32em" }, tag.text));
  }
  chart.marks.append(...above);
  explore(chart, points, (point) => [svg("path", { class: "curve", d: point.entry.path })], stops.reverse());
}

function rungs(host) {
  const scores = facts.brackets.flatMap((bracket) => bracket.rungs.flatMap((rung) => rung.trials.map((trial) => trial[2])));
  const domain = padded(scores.filter((score) => score != null), 0.1);
  host.replaceChildren();
  for (const bracket of facts.brackets) {
    const own = html("div"), sizes = bracket.rungs.map((rung) => rung.trials.length).join(" → ");
    host.append(html("figure", { class: "bracket" }, html("figcaption", {}, `${bracket.name}: ${sizes} trials`), own));
    const chart = frame(own, {
      x: { kind: "bands", domain: bracket.rungs.map((rung) => rung.epochs), format: (epochs) => `${short(epochs)} ep.` },
      y: { domain }, height: 220, title: `${bracket.name}: ${sizes} trials`,
    });
    const where = new Map(), points = [], plain = [], promoted = [];
    bracket.rungs.forEach((rung, n) => rung.trials.forEach(([id, root, score], order) => {
      const spread = Math.min(0.5, rung.trials.length / 40) * chart.x.width;
      const x = chart.x(n) + (((order * 0.618) % 1) - 0.5) * spread, y = score == null ? chart.bottom - 4 : chart.y(score);
      if (score == null) chart.marks.append(svg("text", { class: "failed", x, y, "text-anchor": "middle" }, "×"));
      const before = where.get(root);
      if (before) promoted.push(`M${before.x.toFixed(1)} ${before.y.toFixed(1)}L${x.toFixed(1)} ${y.toFixed(1)}`);
      const point = { x, y, text: `trial ${id}, ${short(rung.epochs)} epochs: ${score == null ? "failed" : score.toFixed(3)}` };
      if (score != null) plain.push([x, y]);
      where.set(root, point);
      points.push(point);
    }));
    chart.marks.append(svg("path", { class: "promotion", d: promoted.join("") }), svg("path", { class: "dots s5", d: dots(plain) }));
    explore(chart, points);
  }
}

function cost(host) {
  const timed = scored.some((entry) => entry.seconds > 0);
  const of = (entry) => (timed ? entry.seconds : entry.epochs);
  const shown = scored.filter((entry) => of(entry) > 0);
  if (!shown.length) return empty(host, "No trial has ended well yet.");
  const [low, high] = [Math.min(...shown.map(of)), Math.max(...shown.map(of))];
  const log = high > 20 * low;
  const chart = frame(host, {
    x: {
      kind: timed ? (log ? "logclock" : "clock") : log ? "logarithmic" : "linear", domain: log ? [low * 0.9, high * 1.1] : [0, high * 1.05],
      label: timed ? "training time of the configuration, one worker" : "epochs", format: timed ? duration : short,
    },
    y: { domain: padded(shown.map((entry) => entry.score)) }, title: "score against training cost",
  });
  const points = shown.map((entry) => ({
    x: chart.x(of(entry)), y: chart.y(entry.score), entry, text: `${about(entry)}, ${timed ? duration(entry.seconds) : ""}`,
  }));
  // The best score at each cost.
  const front = [];
  for (const point of [...points].sort((a, b) => a.x - b.x || a.y - b.y)) {
    if (front.length && point.y >= front.at(-1)[1]) continue;
    if (front.length) front.push([point.x, front.at(-1)[1]]);
    front.push([point.x, point.y]);
  }
  chart.marks.append(svg("path", { class: "front", d: line(front) }));
  scatter(chart, points);
  explore(chart, points, undefined, [...points].sort((a, b) => a.x - b.x));
}

function slices(host) {
  host.replaceChildren();
  const domain = padded(compared.map((entry) => entry.compared));
  for (const n of facts.order) {
    const parameter = parameters[n], own = html("div");
    host.append(html("figure", { class: "slice" }, html("figcaption", {}, parameter.name), own));
    const choice = parameter.kind === "choice";
    const air = (parameter.high - parameter.low) * 0.04;
    const range = parameter.log ? [parameter.low * 0.9, parameter.high * 1.1] : [parameter.low - air, parameter.high + air];
    const chart = frame(own, {
      x: choice ? { kind: "bands", domain: parameter.choices } : { kind: parameter.log ? "logarithmic" : "linear", domain: range },
      y: { domain }, height: 170, left: 36, right: 8, title: `${parameter.name} against validation macro-F1`,
    });
    const points = [];
    const level = (score) => Math.max(chart.y(domain[1]), Math.min(chart.y(domain[0]), chart.y(score)));
    for (const [start, end, mean, low, high] of facts.groups[n]) {
      const [from, to] = choice ? [chart.x(start) - chart.x.width * 0.4, chart.x(end) + chart.x.width * 0.4] : [chart.x(start), chart.x(end)];
      chart.marks.append(
        svg("rect", { class: "interval", x: from, width: Math.max(1, to - from), y: level(high), height: level(low) - level(high) }),
        svg("path", { class: "mean", d: line([[from, level(mean)], [to, level(mean)]]) }),
      );
    }
    compared.forEach((entry, order) => {
      const value = entry.values[n];
      if (value == null) return;
      // Sideways so that none hides another, and in each slice otherwise, so that no slope repeats itself.
      const jitter = choice ? (((order * 0.618 + n * 0.382) % 1) - 0.5) * chart.x.width * 0.6 : 0;
      points.push({ x: chart.x(value) + jitter, y: chart.y(entry.compared), entry, score: entry.compared, text: `${about(entry)}, ${parameter.name} ${valueText(parameter, value)}` });
    });
    scatter(chart, points);
    explore(chart, points, undefined, [...points].sort((a, b) => a.x - b.x));
  }
}

function calibration(host) {
  const bins = facts.calibrations[host.dataset.run];
  const chart = frame(host, {
    x: { domain: [0, 1], label: "confidence" }, y: { domain: [0, 1] }, height: 280, title: "reliability diagram",
  });
  const most = Math.max(...bins.map((bin) => bin[2]));
  const points = bins.map(([low, high, count, confidence, accuracy]) => {
    const x = chart.x(low) + 1, width = chart.x(high) - chart.x(low) - 2;
    chart.marks.append(svg("rect", {
      class: "bin", x, width, y: chart.y(accuracy), height: chart.y(0) - chart.y(accuracy), "fill-opacity": 0.25 + 0.75 * Math.sqrt(count / most),
    }));
    chart.marks.append(svg("path", { class: "gap", d: `M${x} ${chart.y(confidence)}h${width}` }));
    return {
      x: x + width / 2, y: chart.y(accuracy),
      text: `${count} images predicted with ${(100 * confidence).toFixed(0)} % confidence: ${(100 * accuracy).toFixed(0)} % right`,
    };
  });
  chart.marks.append(svg("line", { class: "reference", x1: chart.x(0), y1: chart.y(0), x2: chart.x(1), y2: chart.y(1) }));
  explore(chart, points);
}

const empty = (host, words) => host.replaceChildren(html("p", { class: "note" }, words));
