// Update loop: a control changes the state, the decision rules run, and every part that depends on the change is redrawn.

let decided = null;
let look = 0; // counts changes of the window width and of the colour scheme

const decisionKey = () => [state.alpha, state.energyMax, state.floor, state.cap, state.minimize].join(" ");
const scatterKey = () => {
  const axes = [state.x, state.y, state.z, state.isLogX, state.isLogY, state.bars === "all", look];
  return [...axes, ...(state.z ? [decisionKey(), state.selected] : [])].join(" ");
};

/** Parts of the page: id of the element, key of the state it depends on, and draw function. */
const PARTS = [
  { place: "cards", key: decisionKey, draw: ({ decision }) => drawCards(decision) },
  { place: "scatter-box", key: () => `${scatterKey()} ${brushKey()}`, draw: ({ decision, visible }) => drawScatter(decision, visible) },
  { place: "marks", key: () => `${scatterKey()} ${state.bars} ${decisionKey()} ${state.selected}`, draw: ({ decision }) => drawMarks(decision) },
  { place: "selected", key: () => String(state.selected), draw: drawSelected },
  { place: "parallel", key: () => `${decisionKey()} ${brushKey()} ${state.selected} ${look}`, draw: ({ decision, visible }) => drawParallel(decision, visible) },
  { place: "front-table", key: () => `${decisionKey()} ${brushKey()} ${state.selected} ${JSON.stringify(state.sort)} ${state.n_rows}`,
    draw: ({ decision, visible }) => drawTable(decision, visible) },
  { place: "alpha-section", key: () => `${state.alpha} ${state.energyMax} ${look}`, draw: drawAlpha },
];
const inSight = new Set();
const sight = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => (isIntersecting ? inSight.add(target.id) : inSight.delete(target.id))));

function drawPart(part) {
  if (part.drawnFor === part.wanted) return;
  part.drawnFor = part.wanted;
  const focused = document.activeElement?.dataset.focus;
  part.draw(decided);
  // Redrawing replaces elements: restore the keyboard focus.
  if (focused && !document.activeElement?.dataset.focus) document.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Return true for a part that can be redrawn later: it is off-screen, or it is the scatter plot while a range is dragged. */
function canWait(part) {
  if (part.drawnFor === undefined || part.place === "marks") return false;
  const isOnlyFiltered = part.place === "scatter-box" && part.drawnFor.startsWith(`${scatterKey()} `);
  return isOnlyFiltered || !inSight.has(part.place);
}

let pause = 0;
function draw() {
  decided = { decision: decide(), visible: brushed() };
  // Parts redrawn later use the decision of this state, even if the state has changed since.
  for (const part of PARTS) part.wanted = part.key();
  PARTS.filter((part) => !canWait(part)).forEach(drawPart);
  clearTimeout(pause);
  pause = setTimeout(drawWaiting, 80);
}

/** Draw the postponed parts, one at a time. */
function drawWaiting() {
  // The state has changed since they were postponed: they would be drawn with half of it. The coming frame begins anew.
  if (isWaiting) return;
  const part = PARTS.find((one) => one.drawnFor !== one.wanted);
  if (!part) return;
  drawPart(part);
  pause = setTimeout(drawWaiting, 0);
}

let isWaiting = false;
/** Draw once per animation frame: a slider sends many events. */
function render() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    draw();
  });
}

function select(row) {
  if (row === undefined) return;
  state.selected = row;
  render();
}

function options(element, choices, chosen) {
  fill(element, choices.map(([value, text]) => make("option", { value, textContent: text, selected: value === chosen })));
}

/** Read a number from a field: null if empty, undefined (and marked as invalid) if out of bounds. */
function numberIn(field, { above = -Infinity, upTo = Infinity } = {}) {
  const value = field.value.trim() === "" ? null : Number(field.value);
  const isBad = value !== null && !(value > above && value <= upTo);
  field.setAttribute("aria-invalid", String(isBad));
  return isBad ? undefined : value;
}

/**
 * Update the state while a number is typed. "1.5" begins as "1", which may be valid. As soon as the text is invalid, the
 * page returns to the value before the edit and displays a note.
 */
function onNumber(id, bounds, key, { none, after = () => {} }) {
  const field = byId(id), note = byId("number-note");
  let before = state[key];
  field.addEventListener("focus", () => (before = state[key]));
  field.addEventListener("input", () => {
    const value = numberIn(field, bounds);
    state[key] = value === undefined ? before : value ?? none;
    note.hidden = value !== undefined;
    note.textContent = note.hidden ? "" : `${field.value} is not ${bounds.words}. The page keeps the previous value: ${before ?? "none"}.`;
    after();
    render();
  });
}

/** Set the default scale of a newly chosen axis; the checkbox overrides it. */
function chooseScale(axis) {
  const name = axis === "x" ? "isLogX" : "isLogY";
  state[name] = spansDecades(state[axis]);
  byId(`${axis}-log`).checked = state[name];
}

function bindControls() {
  for (const [axis, name] of [["x", "isLogX"], ["y", "isLogY"]]) {
    chooseScale(axis);
    byId(`${axis}-log`).addEventListener("change", (event) => {
      state[name] = event.target.checked;
      render();
    });
  }
  const axes = payload.choices.map((name) => [name, columns[name].title]);
  options(byId("x-axis"), axes, state.x);
  options(byId("y-axis"), axes, state.y);
  options(byId("z-axis"), [["", "none"], ...axes], state.z);
  byId("z-label").hidden = payload.objectives.length < 3;
  const goals = [...(hasCost ? ["cost"] : []), ...payload.choices];
  options(byId("minimize"), goals.map((name) => [name, goalName(name)]), state.minimize);
  for (const [id, key] of [["x-axis", "x"], ["y-axis", "y"], ["z-axis", "z"], ["bars", "bars"], ["minimize", "minimize"]]) {
    byId(id).addEventListener("change", (event) => {
      const isTooDeep = key === "z" && event.target.value && !hasDepth();
      byId("z-note").hidden = !isTooDeep;
      if (isTooDeep) event.target.value = "";
      state[key] = event.target.value;
      if (key === "x" || key === "y") chooseScale(key);
      if (key === "z") Plotly.purge("scatter"); // plotly cannot convert a 2-D plot to 3-D or back
      render();
    });
  }
  const share = { above: -1e-9, upTo: 1, words: "between 0 and 1" }, positive = { above: 0, words: "above 0" };
  for (const [id, other] of [["alpha", "alpha-number"], ["alpha-number", "alpha"]]) {
    onNumber(id, share, "alpha", { none: payload.alpha, after: () => (byId(other).value = state.alpha) });
    byId(id).value = state.alpha;
  }
  byId("energy-max").value = state.energyMax;
  onNumber("energy-max", positive, "energyMax", { none: payload.energy_max_j });
  if (quality) {
    const { low, high } = quality, isShare = low !== null && high !== null;
    const ends = { above: (low ?? -Infinity) - 1e-9, upTo: high ?? Infinity };
    const words = isShare ? `between ${low} and ${high}` : low === null ? "a number" : `at least ${low}`;
    onNumber("floor", { ...ends, words }, "floor", { none: null });
    if (quality.name !== "accuracy") {
      const { label, symbol } = columns[quality.name];
      byId("floor-label").firstChild.textContent = `${label} at ${quality.sense === ">=" ? "least" : "most"}${symbol ? ` (${symbol})` : ""} `;
      Object.assign(byId("floor"), { min: low ?? "", max: high ?? "", step: "any" });
    }
  }
  onNumber("cap", positive, "cap", { none: null });
  byId("certainty-hint").hidden = !payload.has_certainty;
  for (const id of ["bars-label", "interval-hint"]) byId(id).hidden = !payload.intervals;
  for (const word of document.querySelectorAll(".interval-word")) word.textContent = payload.intervals;
  byId("cost-controls").hidden = !hasCost;
  byId("floor-label").hidden = !quality;
  byId("cap-label").hidden = !("power_w" in front.value);
  byId("alpha-section").hidden = !hasCost;
  byId("parallel-section").hidden = parallelAxes.length < 2; // one design, or at most one column that varies
}

function bindKeys() {
  byId("brush-clear").addEventListener("click", () => {
    state.brushes = {};
    render();
  });
  byId("front-more").addEventListener("click", () => {
    state.n_rows += 100;
    render();
  });
  byId("scatter-box").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!by || event.target !== event.currentTarget) return;
    event.preventDefault();
    step(by);
  });
}

function lookAgain() {
  look += 1;
  render();
}

if (front.n) {
  bindControls();
  bindKeys();
  draw();
  PARTS.forEach(({ place }) => sight.observe(byId(place)));
  addEventListener("resize", lookAgain);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", lookAgain);
}
