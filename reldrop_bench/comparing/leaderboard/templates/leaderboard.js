"use strict";
(() => {
  const table = document.querySelector("#board");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const words = new Intl.Collator("en", { numeric: true });
  const filters = [...document.querySelectorAll("#filters select")];
  const count = document.querySelector("#count");

  // What is shown is what fits every choice; the count says how much that is.
  const show = () => {
    let shown = 0;
    for (const row of rows) {
      const fits = filters.every(({ name, value }) => value === "" || row.dataset[name] === value);
      row.hidden = !fits;
      shown += fits;
    }
    const all = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
    count.textContent = shown === rows.length ? all : `${shown} of ${all}`;
  };

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.sort;
    return number === undefined ? cell.textContent.trim() : number === "" ? null : Number(number);
  };

  const sort = (head, column) => {
    const now = head.getAttribute("aria-sort");
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const next = now === "none" ? first : now === first ? second : "none";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", next);
    const keys = new Map(rows.map((row) => [row, valueOf(row, column)]));
    const sign = next === "ascending" ? 1 : -1;
    const sorted = next === "none" ? rows : [...rows].sort((one, other) => {
      const [left, right] = [keys.get(one), keys.get(other)];
      if (left === null || right === null) return (left === null) - (right === null); // holes last
      return sign * (typeof left === "number" ? left - right : words.compare(left, right));
    });
    body.append(...sorted);
  };

  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(head, column));
  });
  for (const filter of filters) filter.addEventListener("change", show);
  document.querySelector("#filters").hidden = false;
  show(); // a browser may have kept the choices of an earlier visit
})();
