// Parallel coordinates of the front designs; a range on an axis is a filter.

const PARALLEL = { height: 300, top: 46, bottom: 26, side: 48, gap: 92 };
const brushKey = () => JSON.stringify(state.brushes);
const NS = "http://www.w3.org/2000/svg";
const parallelAxes = payload.parallel.map((name) => {
  const words = name in front.words ? [...new Set(front.words[name])] : null;
  const values = words ? front.words[name].map((word) => words.indexOf(word)) : Array.from(front.value[name]);
  const finite = values.filter(Number.isFinite);
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  return { name, words, values, low, high: high > low ? high : low + Math.max(Math.abs(low), 1) * 1e-9 };
});

/** Return the rows of the front designs inside every selected range. */
function brushed() {
  const active = parallelAxes.filter((axis) => state.brushes[axis.name]);
  return rows.filter((row) => active.every(({ name, values }) => values[row] >= state.brushes[name][0] && values[row] <= state.brushes[name][1]));
}

const svgElement = (tag, attributes) => {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const axisX = (index) => PARALLEL.side + index * parallelGap();
const parallelGap = () => Math.max((byId("parallel").clientWidth - 2 * PARALLEL.side) / Math.max(parallelAxes.length - 1, 1), PARALLEL.gap);
const unitOf = (axis, value) => (value - axis.low) / (axis.high - axis.low);
const axisY = (axis, value) => PARALLEL.top + (1 - unitOf(axis, value)) * (PARALLEL.height - PARALLEL.top - PARALLEL.bottom);
const axisValue = (axis, y) => {
  const unit = 1 - (y - PARALLEL.top) / (PARALLEL.height - PARALLEL.top - PARALLEL.bottom);
  return axis.low + Math.min(Math.max(unit, 0), 1) * (axis.high - axis.low);
};

function setBrush(axis, low, high) {
  const ends = [Math.max(Math.min(low, high), axis.low), Math.min(Math.max(low, high), axis.high)];
  const isAll = ends[0] <= axis.low && ends[1] >= axis.high;
  if (isAll) delete state.brushes[axis.name];
  else state.brushes[axis.name] = ends;
  render();
}

function axisText(axis, value) {
  return axis.words ? axis.words[Math.round(value)] : shown(axis.name, value, 3);
}

const unmarked = document.createElement("canvas"); // lines without marks, cached: thousands are drawn once, not for every move of a slider
let unmarkedFor = "";

function strokeRow(pen, row) {
  pen.beginPath();
  parallelAxes.forEach((axis, index) => pen.lineTo(axisX(index), axisY(axis, axis.values[row])));
  pen.stroke();
}

/** Draw all lines; filtered-out designs are pale. */
function drawUnmarked(visible) {
  const pen = unmarked.getContext("2d"), ratio = window.devicePixelRatio || 1;
  pen.scale(ratio, ratio);
  const isVisible = new Set(visible);
  Object.assign(pen, { strokeStyle: "#999999", globalAlpha: 0.12, lineWidth: 1 });
  rows.filter((row) => !isVisible.has(row)).forEach((row) => strokeRow(pen, row));
  pen.globalAlpha = Math.min(0.75, Math.max(0.05, 40 / Math.max(visible.length, 1)));
  for (const row of visible) {
    pen.strokeStyle = payload.styles[front.words.family[row]].colour;
    strokeRow(pen, row);
  }
}

/** Draw all lines, with the marked ones on top. */
function drawLines(decision, visible) {
  const canvas = byId("parallel-lines"), ratio = window.devicePixelRatio || 1;
  const width = 2 * PARALLEL.side + (parallelAxes.length - 1) * parallelGap();
  const isFor = `${width} ${ratio} ${brushKey()}`;
  Object.assign(canvas, { width: width * ratio, height: PARALLEL.height * ratio });
  Object.assign(canvas.style, { width: `${width}px`, height: `${PARALLEL.height}px` });
  if (unmarkedFor !== isFor) {
    unmarkedFor = isFor;
    Object.assign(unmarked, { width: canvas.width, height: canvas.height });
    drawUnmarked(visible);
  }
  const pen = canvas.getContext("2d");
  pen.drawImage(unmarked, 0, 0);
  pen.scale(ratio, ratio);
  for (const [mark, { colour: name }] of Object.entries(MARKS)) {
    if (decision[mark] === null) continue;
    Object.assign(pen, { strokeStyle: colour(name), lineWidth: 2.5 });
    pen.setLineDash(mark === "best" ? [6, 5] : []);
    strokeRow(pen, decision[mark]);
  }
  pen.setLineDash([]);
  if (state.selected !== null) {
    Object.assign(pen, { strokeStyle: colour("--fg"), lineWidth: 3 });
    strokeRow(pen, state.selected);
  }
}

/** Create one end of a range: an ARIA slider for the keyboard. */
function makeHandle(axis, end) {
  const handle = svgElement("rect", { width: 26, height: 14, rx: 4, class: "handle", tabindex: 0, role: "slider",
    "aria-label": `${columns[axis.name].title}, ${end === 0 ? "least" : "most"}`, "data-axis": axis.name, "data-end": end });
  handle.addEventListener("keydown", (event) => {
    const ends = state.brushes[axis.name] ?? [axis.low, axis.high];
    const unit = (axis.high - axis.low) / (axis.words ? Math.max(axis.words.length - 1, 1) : event.shiftKey ? 10 : 50);
    const moves = { ArrowUp: unit, ArrowRight: unit, ArrowDown: -unit, ArrowLeft: -unit };
    if (event.key === "Escape" || event.key === "Delete") setBrush(axis, axis.low, axis.high);
    else if (event.key in moves) {
      const moved = ends.slice();
      moved[end] += moves[event.key];
      // One end stops at the other.
      moved[end] = end === 0 ? Math.min(moved[0], ends[1]) : Math.max(moved[1], ends[0]);
      setBrush(axis, ...moved);
    } else return;
    event.preventDefault();
  });
  return handle;
}

function makeAxis(axis, index) {
  const group = svgElement("g", { class: "axis" });
  const title = svgElement("text", { class: "axis-title", y: 14, "text-anchor": "middle" });
  title.append(columns[axis.name].short);
  title.append(Object.assign(svgElement("title", {}), { textContent: columns[axis.name].title }));
  const unit = svgElement("text", { class: "axis-end", y: 28, "text-anchor": "middle" });
  unit.append(columns[axis.name].unit ? `(${columns[axis.name].unit})` : "");
  const band = svgElement("rect", { class: "brush", width: 16 });
  const rail = svgElement("line", { class: "rail", y1: PARALLEL.top, y2: PARALLEL.height - PARALLEL.bottom });
  const target = svgElement("rect", { class: "target", y: PARALLEL.top - 8, width: 44, height: PARALLEL.height - PARALLEL.top - PARALLEL.bottom + 16 });
  const handles = [makeHandle(axis, 0), makeHandle(axis, 1)];
  const ends = [svgElement("text", { class: "axis-end" }), svgElement("text", { class: "axis-end" })];
  group.append(rail, band, target, ...handles, title, unit, ...ends);
  drag(target, axis);
  return { axis, index, group, title, unit, band, rail, target, handles, ends };
}

/** Let the pointer select a range on an axis or move one of its ends. */
function drag(target, axis) {
  let grabbed = null;
  const at = (event) => axisValue(axis, event.clientY - byId("parallel-axes").getBoundingClientRect().top);
  target.addEventListener("pointerdown", (event) => {
    target.setPointerCapture(event.pointerId);
    const value = at(event), ends = state.brushes[axis.name] ?? [axis.low, axis.high];
    const reach = (axis.high - axis.low) * 0.04;
    const near = ends.findIndex((end) => Math.abs(end - value) < reach);
    grabbed = near < 0 ? { fixed: value } : { fixed: ends[1 - near] };
    event.preventDefault();
  });
  target.addEventListener("pointermove", (event) => grabbed && setBrush(axis, grabbed.fixed, at(event)));
  for (const end of ["pointerup", "pointercancel"]) target.addEventListener(end, () => (grabbed = null));
  target.addEventListener("dblclick", () => setBrush(axis, axis.low, axis.high));
}

const drawnAxes = parallelAxes.map(makeAxis);

function placeAxis({ axis, index, title, unit, band, rail, target, handles, ends }) {
  const x = axisX(index), brush = state.brushes[axis.name], [low, high] = brush ?? [axis.low, axis.high];
  const set = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  const [yLow, yHigh] = [axisY(axis, low), axisY(axis, high)];
  [title, unit].forEach((text) => text.setAttribute("x", x));
  set(rail, { x1: x, x2: x });
  set(target, { x: x - 22 });
  set(band, { x: x - 8, y: yHigh, height: Math.max(yLow - yHigh, 1), opacity: brush ? 1 : 0 });
  [yLow, yHigh].forEach((y, end) => {
    set(handles[end], { x: x - 13, y: y - (end ? 14 : 0), "aria-valuemin": axis.low, "aria-valuemax": axis.high,
                        "aria-valuenow": end ? high : low, "aria-valuetext": axisText(axis, end ? high : low) });
    set(ends[end], { x, y: y + (end ? -3 : 11), "text-anchor": "middle" });
    ends[end].textContent = axisText(axis, end ? high : low);
  });
}

function drawParallel(decision, visible) {
  const svg = byId("parallel-axes");
  const width = 2 * PARALLEL.side + (parallelAxes.length - 1) * parallelGap();
  svg.setAttribute("width", width);
  svg.setAttribute("height", PARALLEL.height);
  if (!svg.childElementCount) svg.append(...drawnAxes.map((drawn) => drawn.group));
  drawnAxes.forEach(placeAxis);
  drawLines(decision, visible);
  const n = Object.keys(state.brushes).length;
  const [kept, all] = [visible.length, front.n].map((count) => count.toLocaleString("en"));
  byId("brush-count").textContent = n ? `${kept} of ${all} designs are within ${n === 1 ? "the range" : `${n} ranges`}.` : front.n === 1 ? "1 design, no filter." : `All ${all} designs${front.n < payload.front.total ? " on this page" : ""}, no filter.`;
  byId("brush-clear").disabled = !n;
}
