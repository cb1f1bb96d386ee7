// Pareto plot: any two (or three) columns, with front probability by marker. Marks of the 2-D plot are an overlay
// (marks.js), so points are redrawn only after a change of the axes or the ranges.

const MOST_DRAWN = 1500, MOST_FILTERED = 400, CROWD = 300; // limits for a fast redraw
const MARKS = {
  winner: { name: "least J", colour: "--winner" },
  knee: { name: "knee", colour: "--knee" },
  best: { name: "best within limits", colour: "--best" },
};
const hasDepth = () => {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
};

/** Return a column in its display unit, for some rows. */
function coordinates(table, name, which) {
  const values = table.value[name];
  return which.map((row) => values[row] / columns[name].scale);
}

function placed(table, which) {
  const at = { x: coordinates(table, state.x, which), y: coordinates(table, state.y, which) };
  return state.z ? { ...at, z: coordinates(table, state.z, which), type: "scatter3d" } : { ...at, type: "scatter" };
}

function errorBar(name, which) {
  if (!front.low[name]) return { visible: false };
  const scale = columns[name].scale;
  return {
    type: "data",
    symmetric: false,
    array: which.map((row) => (front.high[name][row] - front.value[name][row]) / scale),
    arrayminus: which.map((row) => (front.value[name][row] - front.low[name][row]) / scale),
    thickness: 0.8,
    width: 0,
  };
}

/** Return the interval bars of all visible designs. Those of marked designs are drawn with the marks. */
function barTraces(which) {
  if (state.bars !== "all" || state.z || !payload.intervals) return [];
  return [
    {
      ...placed(front, which),
      error_x: errorBar(state.x, which),
      error_y: errorBar(state.y, which),
      mode: "markers",
      marker: { size: 1, color: "#808080" },
      name: payload.intervals,
      hoverinfo: "skip",
    },
  ];
}

/** Return at most `most` of some rows, evenly spaced, and the marked ones. */
function thinned(which, most, decision) {
  if (which.length <= most) return which;
  const step = (which.length - 1) / (most - 1);
  const marked = markedRows(decision).filter((row) => which.includes(row));
  return [...new Set([...Array.from({ length: most }, (_, place) => which[Math.round(place * step)]), ...marked])].sort((a, b) => a - b);
}

function markedRows(decision) {
  return [...new Set([decision.winner, decision.knee, decision.best, state.selected])].filter((row) => row !== null);
}

/** Return the text of a count: total, and the number of visible points if thinned. */
const countText = (total, n_drawn) => (n_drawn < total ? `${total.toLocaleString("en")}, ${n_drawn.toLocaleString("en")} shown` : total.toLocaleString("en"));

/** Return the traces of the designs behind the front; the legend has the full counts. */
function behindTraces() {
  const groups = [
    [false, "dominated", "#999999", 0.35],
    [true, "possibly on the front", "#56B4E9", 0.6],
  ];
  return groups
    .map(([isPossible, name, color, opacity]) => {
      const which = behind.isPossible.flatMap((word, row) => (Boolean(word) === isPossible ? [row] : []));
      const total = payload.behind.counts[isPossible ? "possible" : "dominated"];
      return { ...placed(behind, which), mode: "markers", name: `${name} (${countText(total, which.length)})`, hoverinfo: "skip",
               marker: { color, opacity, size: state.z ? 2 : 5 } };
    })
    .filter((trace) => trace.x.length && state.x in behind.value && state.y in behind.value);
}

function exactTrace() {
  const [first, second] = payload.objectives.map((objective) => objective.name);
  const isAcross = state.x === first && state.y === second;
  if (!payload.exact || state.z || !(isAcross || (state.x === second && state.y === first))) return [];
  const line = (name, at) => payload.exact[at].map((value) => value / columns[name].scale);
  const [x, y] = isAcross ? [line(first, 0), line(second, 1)] : [line(second, 1), line(first, 0)];
  return [{ x, y, type: "scatter", mode: "lines", name: "exact front", hoverinfo: "skip", line: { color: "#999999", width: 1.5 } }];
}

function hoverText(row) {
  const lines = [`<b>design ${front.id[row]}</b>${front.isMeasured[row] ? " (measured)" : isInside(row) ? "" : " (EXTRAPOLATED)"}`];
  for (const name of new Set([state.x, state.y, state.z].filter(Boolean))) {
    const span = range(name, row);
    lines.push(`${columns[name].label}: ${told(name, front.value[name][row])}${span && ` (${span})`}`);
  }
  return lines.join("<br>");
}

function frontTraces(visible, isDrawn, decision) {
  const isVisible = new Set(visible);
  const traces = [];
  const [size, width] = isDrawn.size > CROWD ? [6, 0.7] : [8, 1.5]; // thick outlines of many points would merge into a black band
  const hidden = rows.filter((row) => !isVisible.has(row));
  if (hidden.length) {
    traces.push({ ...placed(front, thinned(hidden, MOST_FILTERED, decision)), mode: "markers", name: `front, filtered out (${hidden.length.toLocaleString("en")})`, hoverinfo: "skip",
                  marker: { color: "#999999", symbol: "circle-open", size: state.z ? 2 : 6, opacity: 0.3 } });
  }
  for (const [family, style] of Object.entries(payload.styles)) {
    for (const isSure of [true, false]) {
      const own = visible.filter((row) => front.words.family[row] === family && (front.words.certainty[row] === "sure") === isSure);
      const which = own.filter((row) => isDrawn.has(row));
      if (!which.length) continue;
      const symbol = isSure ? style.symbol : `${style.symbol}-open`;
      const word = payload.has_certainty ? (isSure ? "front, p ≥ 95 %" : "front, p < 95 %") : "front";
      traces.push({ ...placed(front, which), mode: "markers", name: `${word}, ${escaped(family)} (${countText(own.length, which.length)})`, customdata: which,
                    marker: { color: style.colour, symbol: state.z ? `${style.symbol3d}${isSure ? "" : "-open"}` : symbol, size: state.z ? 5 : size, line: { width: isSure ? width : Math.max(width, 1) } },
                    text: which.map(hoverText), hovertemplate: "%{text}<extra></extra>" });
    }
  }
  return traces;
}

function sampleTraces() {
  return Object.entries(payload.styles).flatMap(([family, style]) => {
    const own = payload.samples.filter((sample) => sample.family === family && Number.isFinite(sample[state.x]) && Number.isFinite(sample[state.y]));
    if (!own.length || (state.z && !own.every((sample) => Number.isFinite(sample[state.z])))) return [];
    const axis = (name) => own.map((sample) => sample[name] / columns[name].scale);
    const at = state.z ? { z: axis(state.z), type: "scatter3d" } : { type: "scatter" };
    return [{ x: axis(state.x), y: axis(state.y), ...at, mode: "markers", name: `measured, ${escaped(family)}`,
              marker: { color: style.colour, symbol: state.z ? "cross" : `${style.symbol}-open-dot`, size: state.z ? 5 : 13, line: { width: 2 } },
              text: own.map((sample) => `<b>${escaped(sample.name)}</b> (measured)`), hovertemplate: "%{text}<extra></extra>" }];
  });
}

// Plotly interprets some HTML tags in texts; names of samples come from users and are escaped.
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** Return the marks as points of the 3-D plot. */
function markTraces(decision) {
  if (!state.z) return [];
  const traces = Object.entries(MARKS).flatMap(([mark, { name, colour: colourName }]) => {
    const row = decision[mark];
    if (row === null) return [];
    const marker = { symbol: "diamond-open", size: 9, color: colour(colourName), line: { width: 2, color: colour("--fg") } };
    return [{ ...placed(front, [row]), mode: "markers", name: `${name}: ${front.id[row]}`, customdata: [row], marker,
              text: [`<b>${name}</b><br>${hoverText(row)}`], hovertemplate: "%{text}<extra></extra>" }];
  });
  if (state.selected !== null) {
    traces.push({ ...placed(front, [state.selected]), mode: "markers", name: `selected: ${front.id[state.selected]}`, hoverinfo: "skip",
                  marker: { symbol: "circle-open", size: 12, color: colour("--fg"), line: { width: 2.5, color: colour("--fg") } } });
  }
  return traces;
}

function axisTitle(name) {
  const direction = columns[name].direction;
  if (byId("scatter").clientWidth < 520) return `${columns[name].short} ${columns[name].unit}`.trim();
  return direction ? `${columns[name].title}, ${direction === "minimize" ? "less" : "more"} is better` : columns[name].title;
}

/** Return true for a positive column with a range of more than a factor of 50, which needs a logarithmic axis. */
function spansDecades(name) {
  const values = front.value[name];
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return low > 0 && high > 50 * low;
}

function drawScatter(decision, visible) {
  const which = thinned(visible, MOST_DRAWN, decision);
  const traces = [...behindTraces(), ...exactTrace(), ...barTraces(which), ...frontTraces(visible, new Set(which), decision), ...sampleTraces(),
                  ...markTraces(decision)];
  const layout = structuredClone(payload.layout);
  layout.hovermode = "closest";
  layout.uirevision = `${state.x} ${state.y} ${state.z} ${state.isLogX} ${state.isLogY}`; // keeps the zoom until the axes change
  if (state.z) {
    const axis = (name) => ({ title: { text: columns[name].title, font: { color: colour("--fg") } }, gridcolor: "#808080", tickfont: { color: colour("--fg") } });
    layout.scene = { xaxis: axis(state.x), yaxis: axis(state.y), zaxis: axis(state.z), aspectmode: "cube", camera: { eye: { x: 1.6, y: 1.6, z: 0.9 } } };
    layout.margin = { l: 0, r: 0, t: 24, b: 0 };
    layout.height = 600;
  } else {
    layout.xaxis.title.text = axisTitle(state.x);
    layout.yaxis.title.text = axisTitle(state.y);
    layout.xaxis.type = state.isLogX ? "log" : "linear";
    layout.yaxis.type = state.isLogY ? "log" : "linear";
  }
  const isNew = !byId("scatter").data;
  Plotly.react("scatter", traces, layout, { responsive: true, displayModeBar: false });
  if (!isNew) return;
  byId("scatter").on("plotly_click", (event) => select(event.points[0]?.customdata));
  for (const event of ["plotly_afterplot", "plotly_relayouting"]) byId("scatter").on(event, () => drawMarks(decided.decision));
}

/** Move the selection along the x axis, among the visible designs. */
function step(by) {
  const order = [...decided.visible].sort((a, b) => front.value[state.x][a] - front.value[state.x][b] || a - b);
  const place = order.indexOf(state.selected);
  const next = place < 0 ? (by > 0 ? 0 : order.length - 1) : Math.min(Math.max(place + by, 0), order.length - 1);
  select(order[next]);
}
