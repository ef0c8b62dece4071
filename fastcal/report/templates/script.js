"use strict";
// Headings of sortable tables become buttons: without this script they are headings, and rows stay worst first.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = Array.from(table.tHead.rows[0].cells);
  const body = table.tBodies[0];
  const rank = (row, column) => {
    const cell = row.cells[column];
    const key = cell.dataset.v;
    return key === undefined ? cell.textContent : key === "" ? NaN : Number(key);
  };
  const compare = (a, b) =>
    typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a < b ? -1 : a > b ? 1 : 0;
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const first = heading.classList.contains("n") ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const way = now === first ? other : first;
      const sign = way === "ascending" ? 1 : -1;
      const keyed = Array.from(body.rows, (row) => [rank(row, column), row]);
      // what is not defined comes last either way
      const last = (key) => (typeof key === "number" && Number.isNaN(key) ? 1 : 0);
      keyed.sort(([a], [b]) => last(a) - last(b) || (last(a) ? 0 : sign * compare(a, b)));
      headings.forEach((one) => one.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", way);
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
