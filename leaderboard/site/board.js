// Tabs, sorting, search, filters and picks of the board. Without it every testbed's first rows stand in the page.
"use strict";
const [ID, SLUG, KIND, FORM, STEP, FAMILY, SIZE, OWN, CELLS] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const ROW = 52; // pixels: rows of long tables have one height, so that only those in sight are drawn
const SHORT = 150; // rows that are drawn at once
const tables = new Map();
const picked = new Map();
const controls = new Set();
const state = { tab: "", started: false };
const sections = Array.from(document.querySelectorAll("section.tab"));
const byId = (id) => document.getElementById(id);

function groundbenchBoard(data, nulls) {
  for (const slug of nulls) controls.add(slug);
  for (const [id, rows] of Object.entries(data)) tables.set(id, makeTable(id, rows));
  start();
}
function groundbenchMore(id, rows) {
  const t = tables.get(id);
  t.rows.push(...rows.map(prepare));
  t.more = "read";
  draw(t);
}

const prepare = (row) => ({ row, words: [row[ID], row[FAMILY], ...row[CELLS].slice(0, 3).flatMap((c) => [c[0], c[1]])].join(" ").toLowerCase() });

function makeTable(id, rows) {
  const table = document.querySelector(`table[data-table="${id}"]`);
  const t = {
    id, table, body: table.tBodies[0], scroll: table.parentElement,
    heads: Array.from(table.tHead.rows[0].cells), section: table.closest("section"),
    form: table.closest("section").querySelector("form.controls"),
    references: Array.from(table.tBodies[0].querySelectorAll(".reference-row")),
    rows: rows.map(prepare), sort: null, shown: [], more: "",
  };
  t.form.hidden = false;
  t.form.addEventListener("submit", (e) => e.preventDefault());
  t.form.addEventListener("input", () => { draw(t); remember(); });
  t.heads.forEach((head, column) => {
    if (!head.dataset.kind) return;
    const help = head.querySelector(".help-text");
    const button = make("button", { type: "button", class: "sort", "aria-describedby": help.id }, head.querySelector(".head"));
    const why = make("button", { type: "button", class: "why", "aria-label": `What is ${button.textContent}?`, "aria-describedby": help.id }, "?");
    head.prepend(button, why);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.dataset.kind === "number" ? "descending" : "ascending";
      t.sort = [column, now === null ? first : now === "ascending" ? "descending" : "ascending"];
      draw(t);
      remember();
    });
    const say = (event) => { event.stopPropagation(); tip(why, help.textContent); };
    why.addEventListener("click", say);
    for (const event of ["mouseenter", "focusin"]) head.addEventListener(event, say);
    for (const event of ["mouseleave", "focusout"]) head.addEventListener(event, () => { byId("tip").hidden = true; });
  });
  t.scroll.addEventListener("scroll", () => { if (t.shown.length > SHORT) paint(t); }, { passive: true });
  return t;
}

function tip(at, text) {
  const node = byId("tip");
  node.textContent = text;
  node.hidden = false;
  const box = at.closest("th").getBoundingClientRect();
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - node.offsetWidth - 8));
  const above = box.top - node.offsetHeight - 6;
  node.style.left = `${left}px`;
  node.style.top = `${above > 4 ? above : box.bottom + 6}px`;
}
addEventListener("keydown", (e) => { if (e.key === "Escape") byId("tip").hidden = true; });
addEventListener("scroll", () => { byId("tip").hidden = true; }, { passive: true });

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const filterOf = (t, name) => t.form.querySelector(`[data-filter="${name}"]`)?.value ?? "";

function draw(t) {
  const form = filterOf(t, "form");
  const steps = filterOf(t, "steps") === "all";
  if ((form || steps) && !t.more) { // forms and checkpoints come when they are first asked for
    t.more = "asked";
    document.head.append(make("script", { src: `data/more-${encodeURIComponent(t.id)}.js` }));
    t.section.querySelector(".count").textContent = "Reading …";
    return;
  }
  const words = filterOf(t, "search").toLowerCase().split(/\s+/).filter(Boolean);
  const family = filterOf(t, "family");
  const size = filterOf(t, "size");
  t.shown = t.rows.filter(({ row, words: text }) =>
    (row[KIND] === "h" ? form === "" || form === "*" || row[FORM] === form
      : row[KIND] === "f" ? form === "*" || row[FORM] === form : steps && (form === "" || form === "*" || row[FORM] === form)) &&
    (!family || row[FAMILY] === family) && (!size || row[SIZE] === size) && words.every((w) => text.includes(w)));
  if (t.sort) {
    const [column, direction] = t.sort;
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = t.heads[column].dataset.kind !== "text";
    const key = ({ row }) => { const c = row[CELLS][column - 1]; return c[0] === null ? null : c.length > 2 ? c[2] : c[0]; };
    const keyed = t.shown.map((r, i) => [key(r), i, r]);
    keyed.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return a === b ? i - j : a === null ? 1 : -1; // not measured: always last
      const d = numeric ? Number(a) - Number(b) : String(a).localeCompare(String(b));
      return sign * d || i - j;
    });
    t.shown = keyed.map((k) => k[2]);
  }
  t.heads.forEach((h, i) => (t.sort?.[0] === i ? h.setAttribute("aria-sort", t.sort[1]) : h.removeAttribute("aria-sort")));
  const n = t.shown.length;
  t.section.querySelector(".count").textContent = n === 1 ? "1 result" : `${n} results`;
  t.table.classList.toggle("long", n > SHORT);
  t.scroll.classList.toggle("long", n > SHORT);
  t.scroll.scrollTop = 0;
  t.from = -1;
  paint(t, form === "*" || steps || form !== "");
}

function paint(t, detailed = t.detailed) {
  t.detailed = detailed;
  const n = t.shown.length;
  if (n <= SHORT) {
    t.body.replaceChildren(...t.shown.map((r, i) => rowOf(t, r.row, i)), ...t.references);
    return;
  }
  const from = Math.max(0, Math.floor(t.scroll.scrollTop / ROW) - 10);
  if (Math.abs(from - t.from) < 6) return;
  t.from = from;
  const to = Math.min(n, from + Math.ceil(t.scroll.clientHeight / ROW) + 24);
  const space = (rows) => make("tr", { class: "space", "aria-hidden": "true" }, make("td", { colspan: t.heads.length, style: `height:${rows * ROW}px` }));
  t.table.setAttribute("aria-rowcount", n + 1);
  t.body.replaceChildren(space(from), ...t.shown.slice(from, to).map((r, i) => rowOf(t, r.row, from + i)), space(n - to));
}

function rowOf(t, row, index) {
  const tr = make("tr", { id: row[ID] });
  if (t.shown.length > SHORT) tr.setAttribute("aria-rowindex", index + 2);
  const pick = make("td", { class: "pick" });
  if (row[KIND] !== "c") {
    const box = make("input", { type: "checkbox", value: row[ID], "aria-label": `Compare ${row[CELLS][1][0]}, ${row[FORM]}` });
    box.checked = picked.has(row[ID]);
    box.disabled = picked.size >= 4 && !box.checked;
    pick.append(box);
  }
  tr.append(pick);
  row[CELLS].forEach((cell, i) => {
    const head = t.heads[i + 1];
    if (head.dataset.key === "model") {
      const about = make("small", {}, cell[1], ...(row[OWN] ? [" ", make("span", { class: "tag" }, "ours")] : [` · ${row[SLUG]}`]));
      if (controls.has(row[SLUG])) about.append(" ", make("span", { class: "tag" }, "null control"));
      if (row[KIND] === "f" || t.detailed) about.append(` · ${row[FORM]}${row[KIND] === "c" && row[STEP] !== null ? `, step ${row[STEP]}` : ""}`);
      tr.append(make("th", { scope: "row" }, make("a", { href: `models/${row[SLUG]}.html` }, cell[0]), about));
      return;
    }
    const td = make("td", { class: head.className });
    if (cell[0] === null) td.append(make("span", { class: "none" }, cell[1] || "–", ...(cell[1] ? [] : [make("span", { class: "sr" }, "not measured")])));
    else td.append(cell[0], ...(cell[1] ? [make("small", {}, cell[1])] : []));
    tr.append(td);
  });
  return tr;
}

// Picks to compare: of one tab, since only like is compared with like.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!box.matches?.("table.board .pick input")) return;
  if (box.checked) picked.set(box.value, state.tab);
  else picked.delete(box.value);
  pickedChanged();
});
function pickedChanged() {
  const ids = Array.from(picked.keys());
  byId("compare-bar").hidden = ids.length === 0;
  byId("compare-text").textContent = ids.length < 2 ? "Pick one more model to compare." : `${ids.length} models picked.`;
  byId("compare-link").hidden = ids.length < 2;
  byId("compare-link").href = `compare.html?${ids.map((id) => `m=${encodeURIComponent(id)}`).join("&")}`;
  for (const box of document.querySelectorAll("table.board .pick input")) {
    box.checked = picked.has(box.value);
    box.disabled = ids.length >= 4 && !box.checked;
  }
}
byId("compare-clear")?.addEventListener("click", () => { picked.clear(); pickedChanged(); });

// What was chosen stands in the address, and the page follows the address.
function remember() {
  const parts = new URLSearchParams();
  if (state.tab) parts.set("tab", state.tab);
  const t = tables.get(state.tab);
  if (t) {
    for (const field of t.form.querySelectorAll("[data-filter]")) if (field.value) parts.set(field.dataset.filter, field.value);
    if (t.sort) parts.set("sort", `${t.heads[t.sort[0]].dataset.key}.${t.sort[1]}`);
  }
  history.replaceState(null, "", `#${parts}`);
}
function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const ids = sections.map((s) => s.dataset.tab);
  if (!ids.length) return;
  const before = state.tab;
  state.tab = ids.includes(wanted.get("tab")) ? wanted.get("tab") : ids[0];
  if (before && before !== state.tab) { picked.clear(); pickedChanged(); }
  for (const s of sections) s.hidden = s.dataset.tab !== state.tab;
  for (const a of document.querySelectorAll("#tabs a")) {
    if (a.dataset.tab === state.tab) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const t = tables.get(state.tab);
  if (!t) return;
  for (const field of t.form.querySelectorAll("[data-filter]")) field.value = wanted.get(field.dataset.filter) ?? "";
  for (const field of t.form.querySelectorAll("select")) if (field.selectedIndex < 0) field.value = "";
  const [key, direction] = (wanted.get("sort") ?? "").split(".");
  const column = t.heads.findIndex((h) => h.dataset.key && h.dataset.key === key);
  t.sort = column >= 0 && /^(a|de)scending$/.test(direction) ? [column, direction] : null;
  draw(t);
}
function start() {
  state.started = true;
  follow();
  addEventListener("hashchange", follow);
}
if (sections.length) { // a board of screenings alone has no data file to wait for
  for (const s of sections.slice(1)) s.hidden = true;
}
// On paper a long table is whole.
addEventListener("beforeprint", () => {
  const t = tables.get(state.tab);
  if (t && t.shown.length > SHORT) t.body.replaceChildren(...t.shown.slice(0, 2000).map((r, i) => rowOf(t, r.row, i)));
});
addEventListener("afterprint", () => { const t = tables.get(state.tab); if (t) draw(t); });
