"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

  const make = (name, attributes = {}, text = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const counted = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
  const announce = (text) => { $("#page-spoken").textContent = text; };

  // Values -----------------------------------------------------------------------------------

  const HOLE = /^(–|left out|no pair|no measure|not measured|)(\s|$|\()/;
  const NUMBER = /^([<>≤≥≈~]?)\s*([+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?=$|[\s%×±\[(\/–])/i;
  const words = new Intl.Collator("en", { numeric: true });

  // "+0.031 [−0.010, +0.072]", "0.973 ± 0.004", "<0.001" → the number that it begins with, or null.
  const numberOf = (text) => {
    const found = NUMBER.exec(text.replace(/−/g, "-"));
    if (!found) return null;
    const value = Number(found[2].replace(/,/g, ""));
    const nudge = Math.max(Math.abs(value), 1e-300) * 1e-9;
    return found[1] === "<" ? value - nudge : found[1] === ">" ? value + nudge : value;
  };

  const order = (texts) => {
    const told = texts.filter((text) => !HOLE.test(text));
    const numeric = told.filter((text) => numberOf(text) !== null).length * 2 > told.length;
    // Rank 0: a value; 1: a word among numbers; 2: a hole, which comes last either way.
    return texts.map((text) => {
      if (HOLE.test(text)) return { rank: 2, text };
      const value = numeric ? numberOf(text) : null;
      return numeric && value === null ? { rank: 1, text } : { rank: 0, value, text };
    });
  };

  const compared = (one, other, sign) => {
    if (one.rank !== other.rank) return one.rank - other.rank;
    if (one.rank === 0 && one.value !== null && one.value !== other.value) {
      return sign * (one.value - other.value);
    }
    return one.rank === 0 ? sign * words.compare(one.text, other.text) : 0;
  };

  // Copying ----------------------------------------------------------------------------------

  const characters = JSON.parse($("#page-latex-characters").textContent);
  const plain = (text) => text.replace(/\s+/g, " ").trim();

  const inLatex = (text) =>
    [...plain(text).normalize("NFC")]
      .map((each) => characters[each] ?? "U+" + each.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"))
      .join("").replace(/--/g, "-{}-{}").replace(/,,/g, ",{},{}");

  // As in the written files: what a spreadsheet would take for a formula gets an apostrophe.
  const number = String.raw`\d+(\.\d+)?(e[+-]?\d+)?`;
  const numbers = new RegExp(`^[+-]?${number}( ± ${number})?( \\[[+-]?${number}, [+-]?${number}\\]| \\[no interval\\])?( \\(n=\\d+/\\d+\\))?$`, "i");
  const defused = (text) => (/^'*[=+\-@＝＋－＠]/.test(text) && !numbers.test(text) ? `'${text}` : text);

  const inCsv = (text) => {
    const ascii = defused(text === "–" ? "" : text.replace(/−(?=[\d.])/g, "-"));
    return /[",\n\r]/.test(ascii) ? `"${ascii.replace(/"/g, '""')}"` : ascii;
  };

  const copy = async (text, button) => {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      const area = make("textarea", { class: "away", "aria-hidden": "true", tabindex: "-1" });
      area.value = text;
      document.body.append(area);
      area.select();
      try { done = document.execCommand("copy"); } catch { done = false; }
      area.remove();
      button.focus();
    }
    const tools = button.closest(".tools");
    $(".by-hand", tools)?.remove();
    if (done) {
      const name = button.textContent;
      button.textContent = "Copied";
      announce("Copied");
      setTimeout(() => { button.textContent = name; }, 1500);
    } else {
      const area = make("textarea", { class: "by-hand", readonly: "", rows: "6", "aria-label": "Text to copy by hand" });
      area.value = text;
      tools.append(area);
      area.focus();
      area.select();
      announce("Copying is not allowed here: press Ctrl+C");
    }
  };

  // Tables -----------------------------------------------------------------------------------

  const placesOf = (element, key) => (element.dataset[key] ?? "").split(" ").filter(Boolean);

  class Sheet {
    constructor(table) {
      this.table = table;
      this.heads = [...table.tHead.rows[0].cells];
      this.names = this.heads.map((head) => plain(head.textContent));
      this.body = table.tBodies[0];
      this.rows = [...this.body.rows].map((row) => ({
        row,
        labels: $$("[data-label]", row).map((cell) => cell.dataset.label),
        tasks: $$("[data-task]", row).map((cell) => placesOf(cell, "task")),
        off: false,
      }));
      this.caption = plain($(".caption", table.closest("figure, details")).textContent);
      this.words = [];
      this.heads.forEach((head, column) => this.#sortable(head, column));
      this.#tools();
    }

    cells(entry) {
      return [...entry.row.cells].filter((_, column) => !this.heads[column].classList.contains("off"));
    }

    #sortable(head, column) {
      const button = make("button", { type: "button", class: "sort" }, this.names[column]);
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = now === "none" ? "ascending" : now === "ascending" ? "descending" : "none";
        for (const other of this.heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", next);
        this.#arrange(column, next);
      });
    }

    #arrange(column, direction) {
      let sorted = this.rows;
      if (direction !== "none") {
        const keys = order(this.rows.map(({ row }) => plain(row.cells[column].dataset.sort ?? row.cells[column].textContent)));
        const sign = direction === "ascending" ? 1 : -1;
        const places = this.rows.map((_, place) => place);
        places.sort((one, other) => compared(keys[one], keys[other], sign) || one - other);
        sorted = places.map((place) => this.rows[place]);
      }
      this.body.append(...sorted.map(({ row }) => row));
    }

    #tools() {
      const tools = make("div", { class: "tools" });
      if (this.rows.length > 8) {
        const field = make("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter the rows of: ${this.caption.slice(0, 80)}` });
        field.addEventListener("input", () => {
          this.words = field.value.toLowerCase().replace(/−/g, "-").split(/\s+/).filter(Boolean);
          this.show();
        });
        field.addEventListener("keydown", (event) => {
          if (event.key === "Escape") { field.value = ""; this.words = []; this.show(); }
        });
        tools.append(field);
      }
      for (const [name, write] of [["Copy CSV", () => this.csv()], ["Copy LaTeX", () => this.latex()]]) {
        const button = make("button", { type: "button" }, name);
        button.addEventListener("click", () => copy(write(), button));
        tools.append(button);
      }
      this.count = make("span", { class: "count", role: "status" });
      tools.append(this.count);
      this.table.closest(".scroll").before(tools);
    }

    show() {
      let shown = 0;
      for (const entry of this.rows) {
        const text = this.words.length
          ? this.cells(entry).map((cell) => cell.textContent).join(" ").toLowerCase().replace(/−/g, "-") : "";
        const there = !entry.off && this.words.every((word) => text.includes(word));
        entry.row.classList.toggle("off", !there);
        shown += there;
      }
      this.count.textContent = shown === this.rows.length ? "" : `${shown} of ${counted(this.rows.length, "row")}`;
    }

    // What is shown, in the order shown: a list of texts a row, heads first.
    shown() {
      const names = this.names.filter((_, column) => !this.heads[column].classList.contains("off"));
      const rows = [...this.body.rows].filter((row) => !row.classList.contains("off"));
      return [names, ...rows.map((row) => this.cells({ row }).map((cell) => plain(cell.textContent)))];
    }

    csv() {
      return this.shown().map((row) => row.map(inCsv).join(",")).join("\n") + "\n";
    }

    latex() {
      const [names] = this.shown();
      const rows = [...this.body.rows].filter((row) => !row.classList.contains("off"));
      const heads = this.heads.filter((head) => !head.classList.contains("off"));
      const columns = heads.map((head) => (head.classList.contains("number") ? "r" : "l")).join("");
      const legend = this.table.dataset.legend ? ` ${this.table.dataset.legend}` : "";
      const text = (cell) => {
        const written = inLatex(cell.dataset.brief ?? cell.textContent);
        return cell.classList.contains("best") ? `\\textbf{${written}}` : written;
      };
      const line = (texts) => texts.join(" & ") + " \\\\";
      return [
        "\\begin{table}[htbp]", "\\centering\\small", `\\caption{${inLatex(this.caption + legend)}}`,
        `\\begin{tabular}{${columns}}`, "\\toprule", line(names.map(inLatex)), "\\midrule",
        ...rows.map((row) => line(this.cells({ row }).map(text))),
        "\\bottomrule", "\\end{tabular}", "\\end{table}", "",
      ].join("\n");
    }
  }

  // Methods and tasks ------------------------------------------------------------------------

  const sheets = $$(".scroll > table").map((table) => new Sheet(table));
  const drawn = $$("svg [data-label]");
  const blocks = $$("main figure[data-task], main details[data-task]");
  const boxes = $$("#page-choice input[type=checkbox]");

  const choose = () => {
    const off = { label: new Set(), task: new Set() };
    for (const box of boxes) if (!box.checked) off[box.dataset.kind].add(box.value);
    const without = (places) => places.length > 0 && places.every((place) => off.task.has(place));
    let rows = 0, columns = 0, series = 0, parts = 0;
    for (const sheet of sheets) {
      sheet.heads.forEach((head, column) => {
        const gone = off.label.has(head.dataset.label) || without(placesOf(head, "task"));
        columns += gone;
        if (gone !== head.classList.contains("off")) {
          head.classList.toggle("off", gone);
          for (const { row } of sheet.rows) row.cells[column].classList.toggle("off", gone);
        }
      });
      for (const entry of sheet.rows) {
        entry.off = entry.labels.some((label) => off.label.has(label)) || entry.tasks.some(without);
        rows += entry.off;
      }
      sheet.show();
    }
    for (const group of drawn) {
      const gone = off.label.has(group.dataset.label);
      group.classList.toggle("off", gone);
      series += gone;
    }
    for (const block of blocks) {
      const gone = without(placesOf(block, "task"));
      block.classList.toggle("off", gone);
      parts += gone;
    }
    const chosen = [[off.label.size, "method"], [off.task.size, "task"]];
    const hidden = [[rows, "row"], [columns, "column"], [parts, "table or figure"], [series, "mark"]];
    const listed = (pairs) => pairs.filter(([count]) => count).map(([count, one]) =>
      one === "table or figure" ? `${count} whole tables or figures` : counted(count, one)).join(", ");
    const some = off.label.size + off.task.size > 0;
    $("#page-hidden").hidden = !some;
    $("#page-hidden-text").textContent = some
      ? `Hidden by your choice: ${listed(chosen)} (${listed(hidden) || "nothing on this page"}). Numbers and texts are still those of all.`
      : "";
    $("#page-choice-count").textContent = some ? `${boxes.filter((box) => box.checked).length} of ${boxes.length}` : "";
  };

  const setAll = (within, checked) => {
    for (const box of boxes) if (!within || within.contains(box)) box.checked = checked;
    choose();
  };
  $("#page-choice").hidden = false;
  for (const box of boxes) box.addEventListener("change", choose);
  for (const button of $$("#page-choice [data-all]")) {
    button.addEventListener("click", () => setAll(button.closest("fieldset"), button.dataset.all === "on"));
  }
  $("#page-show-all").addEventListener("click", () => {
    setAll(null, true);
    $("#page-choice > summary").focus();
  });
  choose(); // a browser may have kept the boxes of an earlier visit

  // The page ---------------------------------------------------------------------------------

  const root = document.documentElement;
  const themes = { "": "as the system", light: "light", dark: "dark" };
  const theme = $("#page-theme");
  const setTheme = (name) => {
    if (name) root.dataset.theme = name; else delete root.dataset.theme;
    theme.textContent = `Colours: ${themes[name]}`;
  };
  let kept = "";
  try { kept = localStorage.getItem("reldrop-bench-theme") ?? ""; } catch { /* not allowed here */ }
  setTheme(kept in themes ? kept : "");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(root.dataset.theme ?? "") + 1) % names.length];
    setTheme(next);
    try { localStorage.setItem("reldrop-bench-theme", next); } catch { /* not allowed here */ }
  });

  // A box that does not scroll needs no stop for the keyboard.
  const stops = () => {
    for (const box of $$(".scroll")) {
      if (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  stops();
  addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);

  // On a narrow screen the verdict comes before the contents.
  if (matchMedia("(max-width: 44rem)").matches) $("#page-contents details").open = false;

  // Where one is, in the contents.
  const links = new Map($$("#page-contents a").map((link) => [link.getAttribute("href").slice(1), link]));
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of $$("main > section")) near.observe(section);

  // Folding: what a link leads to is opened, and all at once on demand (to print all, or to search).
  const unfold = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no name */ }
    if (!target || !target.closest("main")) return;
    const inner = $("details.part", target);
    if (inner) inner.open = true;
    for (let each = target.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  for (const link of links.values()) link.addEventListener("click", () => setTimeout(unfold));
  unfold();
  const openAll = $("#page-open");
  openAll.hidden = false;
  openAll.addEventListener("click", () => {
    const all = $$("main details");
    const open = all.some((each) => !each.open);
    for (const each of all) each.open = open;
    openAll.textContent = open ? "Close all" : "Open all";
  });
})();
