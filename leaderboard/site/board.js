// Sort, search, filter and pick rows of the board. Without it the table is complete, best gain first.
"use strict";
(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const byId = (id) => document.getElementById(id);
  const filters = { board: "board-filter", family: "family-filter", size: "size-filter" };
  const state = new URLSearchParams(location.hash.slice(1));
  const keys = new Map(rows.map((row) => [row, Array.from(row.cells, (cell) => cell.dataset.v ?? "")]));

  function sortBy(column, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = heads[column].dataset.kind === "number";
    const order = rows.map((row, i) => [keys.get(row)[column], i, row]);
    order.sort(([a, i], [b, j]) => {
      if (a === "" || b === "") return a === b ? i - j : a === "" ? 1 : -1; // not measured: always last
      const d = numeric ? Number(a) - Number(b) : a.localeCompare(b);
      return sign * d || i - j;
    });
    body.append(...order.map((o) => o[2]));
    heads.forEach((h, i) => (i === column ? h.setAttribute("aria-sort", direction) : h.removeAttribute("aria-sort")));
  }

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const steps = byId("step-filter")?.value === "all";
    const form = byId("form-filter").value; // "": each result's headline form, "*": every form
    const place = byId("board-filter").value; // naming a board names its form
    let shown = 0;
    for (const row of rows) {
      const fits =
        (steps || !row.classList.contains("checkpoint")) &&
        (form === "" ? place || !row.classList.contains("form") : form === "*" || row.dataset.form === form) &&
        words.every((w) => row.dataset.search.includes(w)) &&
        Object.entries(filters).every(([key, id]) => !byId(id).value || row.dataset[key] === byId(id).value);
      row.hidden = !fits;
      shown += fits;
    }
    byId("count").textContent = shown === 1 ? "1 result" : `${shown} results`;
  }

  function remember() {
    const parts = new URLSearchParams();
    for (const id of ["search", "form-filter", "step-filter", ...Object.values(filters)]) {
      const value = byId(id)?.value;
      if (value) parts.set(id, value);
    }
    const sorted = heads.findIndex((h) => h.hasAttribute("aria-sort"));
    if (sorted >= 0) parts.set("sort", `${sorted}.${heads[sorted].getAttribute("aria-sort")}`);
    history.replaceState(null, "", `#${parts}`);
  }

  heads.forEach((head, column) => {
    if (!head.dataset.kind) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.dataset.kind === "number" && head.dataset.name !== "Rank" ? "descending" : "ascending";
      sortBy(column, now === null ? first : now === "ascending" ? "descending" : "ascending");
      remember();
    });
  });

  const picks = () => Array.from(body.querySelectorAll("input:checked"), (box) => box.value);
  function picked() {
    const ids = picks();
    byId("compare-bar").hidden = ids.length === 0;
    byId("compare-text").textContent = ids.length < 2 ? "Pick one more model to compare." : `${ids.length} models picked.`;
    byId("compare-link").hidden = ids.length < 2;
    byId("compare-link").href = `compare.html?${ids.map((id) => `m=${encodeURIComponent(id)}`).join("&")}`;
    for (const box of body.querySelectorAll("input[type=checkbox]")) box.disabled = ids.length >= 4 && !box.checked;
  }
  body.addEventListener("change", picked);
  byId("compare-clear").addEventListener("click", () => {
    for (const box of body.querySelectorAll("input:checked")) box.checked = false;
    picked();
  });

  const controls = byId("controls");
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", () => { filter(); remember(); });
  for (const [id, value] of state) {
    if (id !== "sort" && byId(id)?.form === controls) byId(id).value = value;
  }
  const [column, direction] = (state.get("sort") ?? "").split(".");
  if (heads[column]?.dataset.kind && /^(a|de)scending$/.test(direction)) sortBy(Number(column), direction);
  filter();
  picked();
})();
