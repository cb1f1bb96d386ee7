// Marks on the 2-D plot: the results of the decision rules and the selected design, drawn as an overlay, because plotly
// would redraw thousands of points for each move of a slider.

/** Return a star or polygon centred at the origin as an SVG path. */
function corners(n, outer, inner = outer) {
  const places = Array.from({ length: inner === outer ? n : 2 * n }, (_, i, turn = (2 * Math.PI * i) / (inner === outer ? n : 2 * n)) => {
    const radius = i % 2 ? inner : outer;
    return `${(radius * Math.sin(turn)).toFixed(2)} ${(-radius * Math.cos(turn)).toFixed(2)}`;
  });
  return `M${places.join("L")}Z`;
}

const GLYPHS = { winner: corners(5, 11, 4.4), knee: corners(4, 9), best: corners(6, 12) };

/** Return the shape of a mark, for the plot and for its card. */
const glyph = (mark, attributes = {}) => svgElement("path", { d: GLYPHS[mark], class: `glyph ${mark}`, ...attributes });

function glyphIcon(mark) {
  const icon = svgElement("svg", { class: "icon", viewBox: "-14 -14 28 28", "aria-hidden": "true" });
  icon.append(glyph(mark));
  return icon;
}

/** Draw the marks at the positions of their points in plotly's axes, clipped to the plot area. */
function drawMarks(decision) {
  const { xaxis, yaxis } = byId("scatter")._fullLayout ?? {};
  if (state.z || !xaxis?._length || !yaxis?._length) return fill(byId("marks"), []);
  const at = (axis, name, value) => axis.d2p(value / columns[name].scale);
  const place = (row) => [at(xaxis, state.x, front.value[state.x][row]), at(yaxis, state.y, front.value[state.y][row])];
  const moved = (row) => ({ transform: `translate(${place(row).join(" ")})` });
  // A nested svg clips its content.
  const area = svgElement("svg", { x: xaxis._offset, y: yaxis._offset, width: xaxis._length, height: yaxis._length });
  if (state.bars === "marked") area.append(...markedRows(decision).flatMap((row) => intervalLines(row, place(row), at, xaxis, yaxis)));
  for (const mark of Object.keys(MARKS)) {
    if (decision[mark] !== null && place(decision[mark]).every(Number.isFinite)) area.append(glyph(mark, moved(decision[mark])));
  }
  if (state.selected !== null && place(state.selected).every(Number.isFinite)) area.append(svgElement("circle", { r: 13, class: "glyph selected", ...moved(state.selected) }));
  fill(byId("marks"), [area]);
}

/** Return the interval lines of one design; only finite ones. */
function intervalLines(row, [x, y], at, xaxis, yaxis) {
  const ends = (axis, name) => [front.low[name]?.[row], front.high[name]?.[row]].map((value) => (Number.isFinite(value) ? at(axis, name, value) : NaN));
  const [[left, right], [low, high]] = [ends(xaxis, state.x), ends(yaxis, state.y)];
  const places = [{ x1: left, y1: y, x2: right, y2: y }, { x1: x, y1: low, x2: x, y2: high }];
  return places.filter((line) => Object.values(line).every(Number.isFinite)).map((line) => svgElement("line", { class: "interval", ...line }));
}
