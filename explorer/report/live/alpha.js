// The design with the least J, over alpha from 0 to 1.

let alphaFor = "";

/** Draw accuracy and energy of the design with the least J over alpha. Redraw only the alpha line if only alpha changed. */
function drawAlpha() {
  if (!hasCost || !payload.sweep.rows.length) return;
  const isFor = `${state.energyMax} ${look}`;
  if (alphaFor === isFor) return drawAlphaLine();
  const isNew = !alphaFor;
  alphaFor = isFor;
  const begins = sweepBegins();
  const edges = [...begins, 1];
  const panel = (name, axis, color, dash) => ({
    x: edges, y: [...payload.sweep.rows, payload.sweep.rows.at(-1)].map((row) => front.value[name][row] / columns[name].scale),
    text: [...payload.sweep.rows, payload.sweep.rows.at(-1)].map((row) => `design ${front.id[row]}<br>${columns[name].label}: ${told(name, front.value[name][row])}`),
    hovertemplate: "from alpha %{x:.3f}: %{text}<extra></extra>", type: "scatter", mode: "lines+markers", name: columns[name].label,
    line: { shape: "hv", color, width: 2, dash }, marker: { size: 5 }, yaxis: axis,
  });
  const layout = structuredClone(payload.layout);
  layout.height = 380;
  layout.xaxis.title.text = "alpha (0: energy only, 1: accuracy only)";
  layout.xaxis.range = [0, 1];
  layout.xaxis.anchor = "y2";
  layout.yaxis.title.text = "Accuracy";
  layout.yaxis.domain = [0.55, 1];
  layout.yaxis2 = { ...structuredClone(layout.yaxis), title: { text: columns.energy_j.title.replace(" per inference", ""), standoff: 12 }, domain: [0, 0.45] };
  layout.showlegend = false;
  Plotly.react("alpha-plot", [panel("accuracy", "y", "#0072B2"), panel("energy_j", "y2", "#D55E00")], layout, { responsive: true, displayModeBar: false });
  byId("alpha-text").textContent = alphaText(begins);
  if (isNew) byId("alpha-plot").on("plotly_afterplot", drawAlphaLine);
}

/** Draw the current alpha as an overlay: plotly would redraw all lines. */
function drawAlphaLine() {
  const { xaxis, yaxis, yaxis2 } = byId("alpha-plot")._fullLayout ?? {};
  if (!xaxis?._length || !yaxis2?._length) return;
  const x = xaxis._offset + xaxis.d2p(state.alpha);
  fill(byId("alpha-line"), [svgElement("line", { x1: x, x2: x, y1: yaxis._offset, y2: yaxis2._offset + yaxis2._length })]);
}

/** Return a text on the designs that J can and cannot select, for the current E_max. */
function alphaText(begins) {
  const total = payload.front.total, won = payload.sweep.total;
  const inner = begins.slice(1).map((alpha) => plain(alpha, 3));
  const span = inner.length > 1 ? ` The selection changes between alpha = ${inner[0]} and alpha = ${inner.at(-1)}, and is constant outside this range.`
    : inner.length ? ` The selection changes once, at alpha = ${inner[0]}.` : "";
  const never = total - won;
  const others = never === 1 ? "J selects the other one for no alpha: in accuracy and energy it is dominated, or is"
    : `J selects the other ${never.toLocaleString("en")} for no alpha: in accuracy and energy they are dominated, or are`;
  const concave = `${others} in a concave part of that front, from which a linear cost never selects. Use the knee or limits to select ${never === 1 ? "it" : "them"}.`;
  if (total === 1) return "The front has one design. J selects it for every alpha.";
  return `For alpha from 0 to 1, J selects ${won.toLocaleString("en")} of ${total.toLocaleString("en")} front designs.${span}${never > 0 ? ` ${concave}` : ""}`;
}
