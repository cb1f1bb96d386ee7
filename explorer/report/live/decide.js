// Decision rules of `explorer choose`, applied after every change of a control.

/** Return the weighted cost J, equation (10), of every front design for the current alpha and E_max. */
function costs() {
  const { accuracy, energy_j: energy } = front.value;
  return rows.map((row) => state.alpha * (1 - accuracy[row]) + (1 - state.alpha) * (energy[row] / state.energyMax));
}

/** Return true for a design whose quality meets its limit. */
function isGood(row) {
  const value = front.value[quality.name][row];
  return quality.sense === ">=" ? value >= state.floor : value <= state.floor;
}

/** Return true for a design that meets both limits. */
function meetsLimits(row) {
  return (state.floor === null || isGood(row)) && (state.cap === null || front.value.power_w[row] <= state.cap);
}

const isInside = (row) => !front.isExtrapolated[row];

function least(candidates, score) {
  return candidates.reduce((best, row) => (best === null || score(row) < score(best) ? row : best), null);
}

/** Return the factor (1 or -1) that makes less better. */
function sign(name) {
  return columns[name].direction === "maximize" ? -1 : 1;
}

/** Apply the three decision rules and rank the designs by J. */
function decide() {
  const inside = rows.filter(isInside);
  const within = inside.filter(meetsLimits);
  const cost = hasCost ? costs() : null;
  const score = state.minimize === "cost" ? (row) => cost[row] : (row) => sign(state.minimize) * front.value[state.minimize][row];
  const ranked = cost ? [...within].sort((a, b) => cost[a] - cost[b]) : [];
  return {
    inside,
    within,
    cost,
    rank: new Map(ranked.map((row, place) => [row, place + 1])),
    winner: cost ? least(inside, (row) => cost[row]) : null,
    knee: least(inside, (row) => -front.value.knee_distance[row]),
    best: least(within, score),
  };
}

/** Return the alpha from which each design of the hull has the least J, for the current E_max. */
function sweepBegins() {
  return payload.sweep.prices.map((price) => 1 / (1 + price * state.energyMax));
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);

function limitFlags() {
  const parts = [];
  if (state.floor !== null) parts.push(`--where '${quality.name}${quality.sense}${state.floor}'`);
  if (state.cap !== null) parts.push(`--where 'power_w<=${state.cap}'`);
  return parts.map((part) => ` ${part}`).join("");
}

const alphaFlags = () => `--alpha ${state.alpha} --energy-max ${state.energyMax}J`;

/** Return the command that selects the same design as a mark of the page. */
function choiceCommand(mark) {
  const base = `explorer choose ${quoted(payload.place)}`;
  if (mark === "winner") return `${base} ${alphaFlags()}`;
  if (mark === "knee") return `${base} --knee`;
  return `${base} ${state.minimize === "cost" ? alphaFlags() : `--minimize ${state.minimize} --front`}${limitFlags()}`;
}

/** Return the command that explains a design. */
const explainCommand = (row) => `explorer explain ${quoted(payload.place)} --design ${front.id[row]}`;

/** Return the command that deploys a design. */
function deployCommand(row) {
  const id = front.id[row];
  const risk = isInside(row) ? "" : " --allow-extrapolation";
  const file = `chosen-${id}.json`;
  return (
    `explorer choose ${quoted(payload.place)} --design ${id}${risk} -o ${file} && ` +
    `explorer deploy ${file}${risk} -o bundle-${id}`
  );
}
