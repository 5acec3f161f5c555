"use strict";
// Sorting, filtering, comparing two cells, and filling the cards of cells. Without JavaScript all tables are shown.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const status = byId("status");
  const opposite = { ascending: "descending", descending: "ascending" };

  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  // ---- sorting: missing values stay last in both directions
  function compareValues(a, b, numeric) {
    return numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
  }

  function sort(button) {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const current = heading.getAttribute("aria-sort");
    const direction = current ? opposite[current] : heading.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = heading.dataset.kind === "number";
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, value: row.cells[column].dataset.value }));
    rows.sort((a, b) => {
      if (a.value === undefined || b.value === undefined) {
        return (a.value === undefined) - (b.value === undefined);
      }
      return sign * compareValues(a.value, b.value, numeric);
    });
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    status.textContent = `${table.caption.textContent.trim()}: sorted by ${button.textContent.trim()}, ${direction}`;
  }

  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => sort(button));
  }

  // ---- filters
  function filter() {
    const name = byId("filter-name").value.trim().toLowerCase();
    const family = byId("filter-family").value;
    const task = byId("filter-task").value;
    const protocol = byId("filter-protocol").value;
    const limit = byId("filter-parameters").value;
    const reported = byId("show-reported").checked;
    let shown = 0;
    let total = 0;
    for (const row of document.querySelectorAll("main > section > .scroll tbody tr")) {
      const ofPaper = row.classList.contains("reported");
      const parameters = row.dataset.parameters;
      const visible =
        row.cells[0].textContent.toLowerCase().includes(name) &&
        (!family || ofPaper || row.dataset.family === family) &&
        (limit === "" || parameters === undefined || Number(parameters) <= Number(limit)) &&
        (!ofPaper || reported);
      row.hidden = !visible;
      total += 1;
      shown += visible;
    }
    for (const section of document.querySelectorAll("section[data-kind=task]")) {
      section.hidden =
        (task !== "" && section.getAttribute("aria-labelledby") !== task) ||
        (protocol !== "" && section.dataset.protocol !== protocol);
    }
    byId("rows-shown").textContent = shown === total ? "" : `${shown} of ${total} rows`;
  }

  function view() {
    const wanted = byId("view").value;
    for (const cell of document.querySelectorAll("#overview-table td")) {
      for (const part of cell.childNodes) {
        if (part.nodeType === Node.TEXT_NODE && part.textContent.trim()) {
          const span = make("span", part.textContent, { class: "view mean" });
          cell.replaceChild(span, part);
        } else if (part.tagName === "STRONG") {
          part.classList.add("view", "mean");
        }
      }
      const views = cell.querySelectorAll(".view");
      if (views.length > 1) {
        for (const part of views) part.hidden = !part.classList.contains(wanted);
      }
    }
  }

  const controls = byId("controls");
  controls.addEventListener("input", () => { filter(); view(); });
  controls.addEventListener("reset", () => setTimeout(() => { filter(); view(); }));
  controls.addEventListener("submit", (event) => event.preventDefault());

  // ---- comparison
  const sign = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "");
  const signed = (value, digits) => sign(Number(value.toFixed(digits))) + Math.abs(value).toFixed(digits);

  function difference(table, first, second) {
    const log = table.scale === "log";
    const at = (value) => (log ? Math.log(value) : value);
    const shown = (value) => (log ? `${signed(100 * Math.expm1(value), 1)} %` : signed(value, table.digits));
    const middle = at(first.mean) - at(second.mean);
    if (first.error === null || second.error === null || table.tukey === null) {
      return [shown(middle), "needs three seeds each", "open"];
    }
    const half = table.tukey * Math.sqrt(first.error + second.error);
    const apart = Math.abs(middle) > half;
    const better = middle > 0 === table.higher ? "first is better" : "second is better";
    return [shown(middle), `${shown(middle - half)} to ${shown(middle + half)}`, apart ? better : "no significant difference"];
  }

  function items(table, first, second) {
    if (!first.items || !second.items || first.items.length !== second.items.length) {
      return table.items_left_out ? "too many items for this page" : "no common items";
    }
    const gains = first.items.map((value, place) => [(value - second.items[place]) * (table.higher ? 1 : -1), place]);
    const better = gains.filter(([gain]) => gain > 0).length;
    const worse = gains.filter(([gain]) => gain < 0).length;
    const ordered = [...gains].sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    const named = (list) => list.map(([, place]) => place).join(", ") || "none";
    const most = named(ordered.filter(([gain]) => gain > 0).slice(0, 5));
    const least = named(ordered.reverse().filter(([gain]) => gain < 0).slice(0, 5));
    return `first better on ${better}, second on ${worse}, equal on ${gains.length - better - worse} of ${gains.length}; `
      + `most for the first: items ${most}; for the second: items ${least}`;
  }

  function compare() {
    const [a, b] = [Number(byId("first").value), Number(byId("second").value)];
    const box = make("table");
    const head = box.createTHead().insertRow();
    for (const text of ["Task", "First", "Second", "Difference", "95 % interval", "Verdict", "On items (mean over seeds)"]) {
      head.append(make("th", text, { scope: "col" }));
    }
    const body = box.createTBody();
    for (const table of data.tables) {
      const find = (subject) => table.rows.find((row) => row.subject === subject);
      const [first, second] = [find(a), find(b)];
      if (!first || !second) continue;
      const row = body.insertRow();
      row.append(make("th", table.title, { scope: "row" }));
      const texts = [first.mean.toFixed(table.digits), second.mean.toFixed(table.digits)];
      texts.push(...difference(table, first, second), items(table, first, second));
      for (const text of texts) row.append(make("td", text));
      row.lastChild.className = "wide";
    }
    const out = byId("comparison");
    if (body.rows.length) {
      const scroll = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison" });
      scroll.append(box);
      const note = "Intervals hold together for all pairs of the task, on this test set. Items show where two cells differ; they are not a test.";
      out.replaceChildren(scroll, make("p", note, { class: "quiet" }));
    } else {
      out.replaceChildren(make("p", "No task has results of both."));
    }
  }

  for (const [id, place] of [["first", 0], ["second", 1]]) {
    const select = byId(id);
    data.subjects.forEach((name, number) => select.append(make("option", name, { value: number })));
    select.selectedIndex = Math.min(place, data.subjects.length - 1);
    select.addEventListener("change", compare);
  }

  // ---- cards
  function curve(name, runs) {
    const svgNode = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const points = runs.flat();
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const x = (value) => 50 + (180 * (value - left)) / (right - left || 1);
    const y = (value) => 90 - (75 * (value - low)) / (high - low || 1);
    const words = `${name} by epoch, ${runs.length} runs, from ${low} to ${high}`;
    const svg = svgNode("svg", { width: 240, height: 110, class: "curve", role: "img", "aria-label": words });
    for (const run of runs) {
      svg.append(svgNode("polyline", { points: run.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }));
    }
    svg.append(svgNode("line", { x1: 50, x2: 230, y1: 92, y2: 92 }));
    for (const [place, anchor, across, down] of [[name, "start", 50, 11], [`${high}`, "end", 46, 20], [`${low}`, "end", 46, 92], [`epoch ${right}`, "end", 230, 106]]) {
      const text = svgNode("text", { x: across, y: down, "text-anchor": anchor });
      text.textContent = place;
      svg.append(text);
    }
    return svg;
  }

  function fill(card) {
    const subject = Number(card.dataset.subject);
    const box = card.querySelector(".runs");
    if (box.childElementCount) return;
    for (const table of data.tables) {
      const row = table.rows.find((candidate) => candidate.subject === subject);
      if (!row) continue;
      box.append(make("h3", `${table.title}: runs`));
      const list = make("table");
      const head = list.createTHead().insertRow();
      for (const text of ["Seed", "Record", table.metric]) head.append(make("th", text, { scope: "col" }));
      const body = list.createTBody();
      const curves = new Map();
      for (const [seed, key, value, history] of row.runs) {
        const line = body.insertRow();
        line.append(make("th", String(seed), { scope: "row" }), make("td", key), make("td", value.toFixed(table.digits)));
        for (const [name, points] of Object.entries(history)) {
          if (points.length > 1) curves.set(name, [...(curves.get(name) || []), points]);
        }
      }
      const scroll = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": `Runs: ${card.id} ${table.title}` });
      scroll.append(list);
      box.append(scroll);
      for (const [name, runs] of curves) box.append(curve(name, runs));
    }
  }

  for (const card of document.querySelectorAll(".card")) {
    card.addEventListener("toggle", () => card.open && fill(card));
  }
  function openTarget() {
    const target = location.hash.startsWith("#cell-") ? byId(location.hash.slice(1)) : null;
    if (!target) return;
    target.open = true;
    fill(target);
    target.querySelector("summary").focus();
    target.scrollIntoView();
  }
  window.addEventListener("hashchange", openTarget);
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not(.card)")) details.open = true;
  });

  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  filter();
  compare();
  openTarget();
})();
