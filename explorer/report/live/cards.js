// Cards of the decision rules and details of the selected design, with the equivalent commands.

const CARD_COLUMNS = ["accuracy", ...payload.declared, "energy_j", "latency_s", "power_w", "edp_js"].filter((name) => name in front.value);

function copyButton(text, label) {
  const button = make("button", { type: "button", className: "copy", textContent: label });
  button.dataset.focus = `copy ${text()}`;
  button.addEventListener("click", async () => {
    await copy(text());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** Copy a text to the clipboard; with a fallback, because browsers may deny the Clipboard API to file: pages. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Return a caveat if the full front may have a better design than the thinned front of the page. */
function caveat(isOfThese) {
  const [n, total] = [front.n, payload.front.total].map((count) => count.toLocaleString("en"));
  return isOfThese ? ` Best of the ${n} designs on this page. The command searches all ${total}.` : "";
}

function card(mark, title, row, why) {
  const body = [make("h4", {}, [glyphIcon(mark), title])];
  if (row === null) return make("div", { className: "card" }, [...body, make("p", { textContent: why })]);
  const button = make("button", { type: "button", className: "link", textContent: `design ${front.id[row]}` });
  button.dataset.focus = `card ${mark}`;
  button.addEventListener("click", () => select(row));
  const family = Object.keys(payload.styles).length > 1 ? `${front.words.family[row]}, ` : "";
  const values = CARD_COLUMNS.map((name) => `${columns[name].short} ${told(name, front.value[name][row])}`).join(", ");
  const line = make("p", {}, [button, `${front.isMeasured[row] ? " (measured)" : ""}: ${family}${values}. ${odds(row)}${why}`]);
  line.dataset.mark = mark;
  line.dataset.design = front.id[row];
  return make("div", { className: "card" }, [...body, line, commandLine(() => choiceCommand(mark))]);
}

/** Return the probability that the limits of the study hold, as a sentence; empty without limits. */
function odds(row) {
  const p = front.value.p_limits?.[row];
  return Number.isFinite(p) ? `The study's limits hold with probability ${plain(p)}. ` : "";
}

/** Return a command that wraps between words on a narrow page, never within "--alpha". */
function commandLine(text) {
  const words = text().split(/( )/).map((word) => (word === " " ? word : make("span", { className: "word", textContent: word })));
  return make("div", { className: "command" }, [make("code", {}, words), copyButton(text, "Copy")]);
}

/** Return the text of the goal: "least J", "greatest accuracy". */
function goalName(name) {
  return name === "cost" ? "least J" : `${columns[name].direction === "maximize" ? "greatest" : "least"} ${columns[name].short}`;
}

/** Return a text on each limit: met by some designs, or the closest value to it. */
function nearestMiss(decision) {
  const parts = [];
  const misses = (name, isMet, better) => {
    if (decision.inside.some(isMet)) return parts.push(`${columns[name].label}: met by some designs`);
    parts.push(`${columns[name].label}: the closest is ${told(name, front.value[name][least(decision.inside, better)])}`);
  };
  if (state.floor !== null) misses(quality.name, isGood, (row) => sign(quality.name) * front.value[quality.name][row]);
  if (state.cap !== null) misses("power_w", (row) => front.value.power_w[row] <= state.cap, (row) => front.value.power_w[row]);
  return `No design of the front meets the limits. ${parts.join("; ")}.`;
}

function drawCards(decision) {
  const cards = [];
  const isThinned = front.n < payload.front.total;
  const areWinnersThinned = payload.sweep.rows.length < payload.sweep.total;
  const isLimited = isThinned && (state.floor !== null || state.cap !== null);
  if (hasCost) {
    const place = decision.winner === null ? "Every design is outside the model's domain." : `J = ${plain(decision.cost[decision.winner])}.${caveat(areWinnersThinned)}`;
    cards.push(card("winner", "Least J", decision.winner, place));
  }
  const never = hasCost && decision.knee !== null && !areWinnersThinned && !payload.sweep.rows.includes(decision.knee);
  cards.push(card("knee", "Knee", decision.knee, decision.knee === null ? "Every design is outside the model's domain."
    : payload.objectives.length < 2 ? "The best value of the only objective."
    : never ? "No alpha makes J select it." : "Largest distance from the plane through the extremes of the front."));
  const isSame = hasCost && state.minimize === "cost" && decision.best === decision.winner;
  const none = decision.inside.length ? nearestMiss(decision) : "Every design is outside the model's domain.";
  const goal = goalName(state.minimize);
  const isOfThese = isLimited || (state.minimize === "cost" && areWinnersThinned);
  cards.push(card("best", `${goal[0].toUpperCase()}${goal.slice(1)} within limits`, decision.best, decision.best === null ? `${none}${caveat(isLimited)}`
    : `${isSame ? "The limits do not change the selection of J." : "Selected by the limits, not by the weights."}${caveat(isOfThese)}`));
  fill(byId("cards"), cards);
}

function drawSelected() {
  const row = state.selected, box = byId("selected");
  if (row === null) {
    fill(box, [make("p", { className: "hint", textContent: "Select a design: click a point, press the arrow keys on the plot, or click a design number in a card or the table." })]);
    return;
  }
  const lines = payload.detail.filter((name) => name in front.words || name in front.value).map((name) => {
    const value = name in front.words ? front.words[name][row] : told(name, front.value[name][row]);
    return make("tr", {}, [make("th", { scope: "row", textContent: columns[name]?.label ?? name }), make("td", { className: "number", textContent: value }),
                           make("td", { className: "number soft", textContent: range(name, row) })]);
  });
  const head = make("tr", {}, ["", ...(payload.has_certainty ? [front.isMeasured[row] ? "Measured" : "Predicted", "90 % interval"] : ["Measured", "Interval"])].map((text) => make("th", { scope: "col", textContent: text })));
  const parts = [make("h3", { textContent: `Design ${front.id[row]}` })];
  if (front.isMeasured[row]) parts.push(make("p", { textContent: "MEASURED: the values are readings, not predictions. The interval is that of a new reading." }));
  if (!isInside(row)) parts.push(make("p", { className: "bad", textContent: "EXTRAPOLATED: outside the model's domain. Measure this design before you use it." }));
  if (front.value.p_limits?.[row] < 0.5) parts.push(make("p", { className: "bad", textContent: odds(row) }));
  parts.push(make("p", { textContent: nearestText(row) }));
  parts.push(make("div", { className: "scroll", tabIndex: 0 }, [make("table", {}, [make("thead", {}, [head]), make("tbody", {}, lines)])]));
  parts.push(make("p", { className: "hint", textContent: "Explain this design and the effect of each knob:" }));
  parts.push(commandLine(() => explainCommand(row)));
  parts.push(make("p", { className: "hint", textContent: "Deploy it (run in the folder of the study):" }));
  const command = commandLine(() => deployCommand(row));
  command.id = "deploy-command";
  parts.push(command);
  fill(box, parts);
}

/** Return a text on the nearest measured sample: its name, its distance and its measured values. */
function nearestText(row) {
  const name = front.words.nearest_sample?.[row];
  const sample = payload.samples.find((one) => one.name === name);
  if (!sample) return "";
  const values = CARD_COLUMNS.filter((column) => Number.isFinite(sample[column])).map((column) => `${columns[column].short} ${told(column, sample[column])}`);
  const distance = plain(front.value.sample_distance[row], 2);
  return `Nearest measured sample: ${name}, at a distance of ${distance} times the range of the samples. Measured values: ${values.join(", ")}.`;
}
