"use strict";
// Sorts a table by the column whose heading is pressed; missing values stay last in both directions.
(() => {
  const status = document.getElementById("status");
  const opposite = { ascending: "descending", descending: "ascending" };

  function compare(a, b, numeric) {
    if (numeric) return Number(a) - Number(b);
    return a.localeCompare(b, "en", { numeric: true });
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
      return sign * compare(a.value, b.value, numeric);
    });
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    status.textContent = `${table.caption.textContent.trim()}: sorted by ${button.textContent.trim()}, ${direction}`;
  }

  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => sort(button));
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
