// Data of the page, number formatting, and the state of the controls.
"use strict";

const payload = JSON.parse(document.getElementById("live-data").textContent);
const byId = (id) => document.getElementById(id);

/** Decode base64 into a typed array. Numbers are stored as bytes, so that none is rounded. */
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
  isMeasured: payload.front.is_measured,
  isExtrapolated: payload.front.is_extrapolated,
};
const behind = {
  n: payload.behind.n,
  value: Object.fromEntries(Object.entries(payload.behind.values).map(([name, text]) => [name, decode(text, Float32Array)])),
  isPossible: payload.behind.is_possible,
};
const rows = Array.from({ length: front.n }, (_, row) => row);
const quality = payload.quality; // accuracy or a declared target, which the first limit is of; null without one
const hasCost = "accuracy" in front.value && "energy_j" in front.value;

const state = {
  alpha: payload.alpha,
  energyMax: payload.energy_max_j,
  floor: null,
  cap: null,
  minimize: hasCost && payload.objectives.length > 1 ? "cost" : payload.objectives[0].name,
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

/** Format an SI value of a column in its display unit, with four significant digits by default. */
function shown(name, value, digits = 4) {
  if (value === undefined || Number.isNaN(value)) return "–";
  return plain(value / columns[name].scale, digits);
}

function plain(value, digits = 4) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "–";
}

/** Format a value with its unit: "13.2 J". */
function told(name, value) {
  const unit = columns[name].unit;
  return unit ? `${shown(name, value)} ${unit}` : shown(name, value);
}

/** Return the interval as "lo to hi", or an empty text if there is none. */
function range(name, row) {
  const low = front.low[name]?.[row];
  return low === undefined || Number.isNaN(low) ? "" : `${shown(name, low, 3)} to ${shown(name, front.high[name][row], 3)}`;
}

/** Create an element with properties and children; text is never parsed as HTML. */
function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fill(element, children) {
  element.replaceChildren(...children);
}

/** Return the value of a CSS variable, which depends on the light or dark scheme. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
