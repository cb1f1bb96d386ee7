// Table of the front designs: sortable by every column, filtered by the ranges of the parallel coordinates.

const tableColumns = payload.table;

function cellValue(name, row, decision) {
  if (name === "rank") return decision.rank.get(row) ?? Infinity;
  if (name === "cost") return decision.cost[row];
  if (name === "design_id") return front.id[row];
  return name in front.words ? front.words[name][row] : front.value[name][row];
}

function cell(name, row, decision) {
  if (name === "design_id") {
    const button = make("button", { type: "button", className: "link", textContent: `${front.id[row]}${isInside(row) ? "" : "*"}` });
    button.dataset.focus = `row ${row}`;
    button.addEventListener("click", () => select(row));
    return make("td", {}, [button]);
  }
  const value = cellValue(name, row, decision);
  if (name === "rank") return make("td", { className: "number", textContent: Number.isFinite(value) ? value : "–" });
  if (name === "cost") return make("td", { className: "number", textContent: plain(value) });
  if (typeof value === "string") return make("td", { textContent: value });
  const span = range(name, row);
  return make("td", { className: "number" }, [shown(name, value), ...(span ? [make("small", { textContent: span })] : [])]);
}

const tableTitle = (name) => ({ design_id: "Design", rank: "Rank by J", cost: "J" })[name] ?? `${columns[name].short} ${columns[name].unit}`.trim();

function sortBy(name) {
  state.sort = { by: name, isDown: state.sort.by === name ? !state.sort.isDown : false };
  render();
}

function drawHead() {
  const cells = tableColumns.map((name) => {
    const isBy = state.sort.by === name;
    const arrow = isBy ? (state.sort.isDown ? " ▼" : " ▲") : "";
    const button = make("button", { type: "button", className: "sort", textContent: `${tableTitle(name)}${arrow}` });
    button.dataset.focus = `column ${name}`;
    button.addEventListener("click", () => sortBy(name));
    const head = make("th", { scope: "col" }, [button]);
    head.title = columns[name]?.title ?? "";
    head.setAttribute("aria-sort", isBy ? (state.sort.isDown ? "descending" : "ascending") : "none");
    return head;
  });
  fill(byId("front-head"), [make("tr", {}, cells)]);
}

function drawTable(decision, visible) {
  drawHead();
  const { by, isDown } = state.sort;
  const key = (row) => cellValue(by, row, decision);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a === b ? 0 : a < b ? -1 : 1);
  const sorted = [...visible].sort((a, b) => (isDown ? compare(key(b), key(a)) : compare(key(a), key(b))) || a - b);
  const marks = Object.keys(MARKS);
  const body = sorted.slice(0, state.n_rows).map((row) => {
    const line = make("tr", {}, tableColumns.map((name) => cell(name, row, decision)));
    line.classList.toggle("selected", row === state.selected);
    line.classList.toggle("out", !meetsLimits(row));
    marks.filter((mark) => decision[mark] === row).forEach((mark) => line.firstChild.append(make("span", { className: `mark ${mark}`, textContent: MARKS[mark].name })));
    return line;
  });
  fill(byId("front-body"), body);
  const left = sorted.length - body.length;
  byId("front-count").textContent = `${sorted.length.toLocaleString("en")} of ${payload.front.total.toLocaleString("en")} front ${payload.front.total === 1 ? "design" : "designs"}` + (left > 0 ? `, first ${body.length} shown.` : ".");
  byId("front-more").hidden = left <= 0;
  byId("front-more").textContent = `Show ${Math.min(left, 100)} more`;
}
