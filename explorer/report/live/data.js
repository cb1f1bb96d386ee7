// What the page knows: columns of numbers, how they are printed, and what the reader has asked for so far.
"use strict";

const payload = JSON.parse(document.getElementById("live-data").textContent);
const byId = (id) => document.getElementById(id);

/** Decode base64 into a typed array; numbers travel as their bytes, so that none is rounded on the way. */
function decode(text, kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new kind(bytes.buffer);
}

const columns = Object.fromEntries(payload.columns.map((column) => [column.name, column]));
const front = {
  n: payload.front.n,
  id: payload.front.design_id,
  value: Object.fromEntries(Object.entries(payload.front.values).map(([name, text]) => [name, decode(text, Float64Array)])),
  low: Object.fromEntries(Object.entries(payload.front.low).map(([name, text]) => [name, decode(text, Float32Array)])),
  high: Object.fromEntries(Object.entries(payload.front.high).map(([name, text]) => [name, decode(text, Float32Array)])),
  words: payload.front.words,
  isExtrapolated: payload.front.is_extrapolated,
};
const behind = {
  n: payload.behind.n,
  value: Object.fromEntries(Object.entries(payload.behind.values).map(([name, text]) => [name, decode(text, Float32Array)])),
  isPossible: payload.behind.is_possible,
};
const rows = Array.from({ length: front.n }, (_, row) => row);
const hasCost = "accuracy" in front.value && "energy_j" in front.value;

const state = {
  alpha: payload.alpha,
  energyMax: payload.energy_max_j,
  floor: null,
  cap: null,
  minimize: hasCost ? "cost" : payload.objectives[0].name,
  x: payload.axes[0],
  y: payload.axes[1],
  z: "",
  isLogX: false,
  isLogY: false,
  bars: "marked",
  brushes: {},
  sort: { by: payload.objectives[0].name, isDown: false },
  n_rows: 50,
  selected: null,
};

/** Print an SI value of a column in the unit people read, with four digits. */
function shown(name, value, digits = 4) {
  if (value === undefined || Number.isNaN(value)) return "–";
  return plain(value / columns[name].scale, digits);
}

function plain(value, digits = 4) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "–";
}

/** Print a value with its unit: "13.2 J". */
function told(name, value) {
  const unit = columns[name].unit;
  return unit ? `${shown(name, value)} ${unit}` : shown(name, value);
}

/** Return "lo to hi", or nothing where the interval is not known. */
function range(name, row) {
  const low = front.low[name]?.[row];
  return low === undefined || Number.isNaN(low) ? "" : `${shown(name, low, 3)} to ${shown(name, front.high[name][row], 3)}`;
}

/** Make an element with properties and children; text never becomes HTML. */
function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fill(element, children) {
  element.replaceChildren(...children);
}

/** Return the colour that the page's style gives a name, which follows light and dark. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
