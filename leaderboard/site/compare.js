// The compare page: reads two to four results from data/, draws them noun by noun. Strings are only ever set as text.
"use strict";
const found = new Map();
const MOST = 4;
const DRAWS = 5000;

function groundbenchIndex(choices) {
  const ids = new URLSearchParams(location.search).getAll("m");
  const list = choices.map(([id, model, board, submitter]) => ({ id, model, board, submitter }));
  const known = new Map(list.map((c) => [c.id, c]));
  const wanted = [...new Set(ids)].filter((id) => known.has(id)).slice(0, MOST);
  chooser(list, wanted);
  const state = document.getElementById("state");
  if (wanted.length < 2) {
    state.textContent = choices.length < 2 ? "The board has fewer than two results." : "Choose at least two models.";
    return;
  }
  state.textContent = "";
  let waiting = wanted.length;
  for (const id of wanted) {
    const script = document.createElement("script");
    script.src = `data/${encodeURIComponent(id)}.js`;
    script.onload = () => { waiting -= 1; if (waiting === 0) show(wanted.map((w) => found.get(w))); };
    script.onerror = () => { state.textContent = `The data of ${known.get(id).model} could not be read.`; };
    document.head.append(script);
  }
}

function groundbenchEntry(entry) {
  found.set(entry.id, entry);
}

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "circle", "path", "text", "title", "desc"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function chooser(choices, wanted) {
  const form = document.getElementById("choose");
  for (let i = 0; i < MOST; i += 1) {
    const select = make("select", { id: `m${i}`, name: "m" }, make("option", { value: "" }, i < 2 ? "Choose" : "None"));
    // After the first model only those that were measured alike can be chosen.
    const first = choices.find((c) => c.id === wanted[0]);
    for (const c of choices) {
      if (i > 0 && first && c.board !== first.board && !wanted.includes(c.id)) continue;
      const option = make("option", { value: c.id }, `${c.model}, ${c.submitter} (${c.board})`);
      option.selected = wanted[i] === c.id;
      select.append(option);
    }
    form.append(make("label", { for: `m${i}`, class: "grow" }, `Model ${i + 1}`, select));
  }
  form.addEventListener("change", () => {
    const ids = Array.from(form.querySelectorAll("select"), (s) => s.value).filter(Boolean);
    location.search = new URLSearchParams(ids.map((id) => ["m", id])).toString();
  });
  form.hidden = false;
}

const sign = (text) => text.replace("-", "\u2212");
const fixed = (value, digits = 2) => (value === null || value === undefined ? null : sign(value.toFixed(digits)));
const digits = (...values) => (Math.max(...values.map((v) => Math.abs(v ?? 0))) < 0.05 ? 4 : 2); // as on the board
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function size(n) {
  for (const [unit, of] of [["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (n >= of) return `${(n / of).toFixed(n / of >= 10 ? 0 : 1)}\u202f${unit}`;
  }
  return String(n);
}

// A small seeded generator, so that the same page always shows the same interval.
function generator(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function bootstrap(values) {
  const random = generator(1);
  const means = new Float64Array(DRAWS);
  for (let d = 0; d < DRAWS; d += 1) {
    let sum = 0;
    for (let i = 0; i < values.length; i += 1) sum += values[Math.floor(random() * values.length)];
    means[d] = sum / values.length;
  }
  means.sort();
  const at = (q) => means[Math.min(DRAWS - 1, Math.floor(q * DRAWS))];
  return [at(0.025), at(0.975)];
}

function table(caption, head, body) {
  const cell = (value, i) =>
    make(i ? "td" : "th", i ? {} : { scope: "row" }, value ?? make("span", { class: "none" }, "not measured"));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...head.map((h) => (h ? make("th", { scope: "col" }, h) : make("td"))))),
      make("tbody", {}, ...body.map((row) => make("tr", {}, ...row.map(cell))))));
}

const ends = (low, high, n) => `${fixed(low, n)}\u00a0to\u00a0${fixed(high, n)}`;
const gain = ([value, low, high], decimals = null) => {
  if (value === null) return null;
  const n = decimals ?? digits(value, low, high);
  return low === null || high === null ? fixed(value, n) : `${fixed(value, n)} (${ends(low, high, n)})`;
};
const chance = (p) => (p === null ? "" : p < 0.001 ? " (p < 0.001)" : ` (p = ${p.toFixed(3)})`);
const percent = (share) => (share === null ? null : `${fixed(100 * share, 0)}\u202f%`);

function headline(entries) {
  const ofHeads = (read) => (e) => (e.has_heads ? read(e) : "no heads");
  const rows = [
    ["Gain (nats)", (e) => e.gain && gain(e.gain)],
    ["Surprisal, own noun shown", (e) => fixed(e.matched)],
    ["Surprisal, another noun shown", (e) => fixed(e.mismatched)],
    ["Ladder score", (e) => e.ladder && gain(e.ladder, 2)],
    ["Aggregate heads (by chance)", ofHeads((e) => (e.heads === null ? null : `${fixed(e.heads, 1)} (${fixed(e.heads_null, 1) ?? "not measured"})`))],
    ["Their mean depth", ofHeads((e) => percent(e.layer))],
    ["Heads for half of the gain", ofHeads((e) => fixed(e.half, 1))],
    ["Gain lost to cutting them, beyond controls", ofHeads((e) => (e.lost === null ? null : fixed(e.lost) + chance(e.p)))],
    ["Share of the gain removed", ofHeads((e) => percent(e.removed))],
    ["Image gain", (e) => fixed(e.image)],
    ["Submitter", (e) => `${e.submitter}${e.own ? " (this board)" : ""}, folder ${e.slug}`],
    ["Measured", (e) => e.measured],
    ["Family", (e) => e.family],
    ["Parameters", (e) => size(e.parameters)],
    ["Testbed and form", (e) => e.board],
  ];
  const filled = rows.map(([name, read]) => [name, ...entries.map(read)]).filter((r) => r.slice(1).some((v) => v !== null && v !== undefined && v !== "no heads"));
  return table("The models side by side", ["", ...entries.map((e) => e.model)], filled);
}

const alike = (a, b) => a.like === b.like; // the same testbed, form, pictures and mismatches

function differences(first, others) {
  const rows = [];
  for (const other of others) {
    if (!alike(first, other)) {
      rows.push([other.model, "on another testbed or form", "\u2013", "\u2013", "\u2013"]);
      continue;
    }
    const shared = Object.keys(first.nouns).filter((n) => n in other.nouns);
    if (shared.length < 2) { rows.push([other.model, null, null, null, String(shared.length)]); continue; }
    const d = shared.map((n) => first.nouns[n] - other.nouns[n]);
    const [low, high] = bootstrap(d);
    const n = digits(mean(d), low, high);
    const above = d.filter((v) => v > 0).length;
    rows.push([other.model, fixed(mean(d), n), ends(low, high, n), String(above), String(shared.length)]);
  }
  return table(`Gain of ${first.model} minus gain of the other, paired by noun (nats)`, ["Other model", "Difference", "95\u202f% interval", "Nouns above 0", "Nouns"], rows);
}

const SHAPES = [
  (x, y) => make("circle", { cx: x, cy: y, r: 4 }),
  (x, y) => make("path", { d: `M${x} ${y - 5.4}L${x + 5.4} ${y}L${x} ${y + 5.4}L${x - 5.4} ${y}Z` }),
  (x, y) => make("path", { d: `M${x - 4} ${y - 4}H${x + 4}V${y + 4}H${x - 4}Z` }),
  (x, y) => make("path", { d: `M${x} ${y - 5}L${x + 5} ${y + 4}H${x - 5}Z` }),
];

function mark(shape, x, y, hint) {
  const node = SHAPES[shape](x, y);
  node.setAttribute("class", `mark c${shape + 1}`);
  if (hint) node.append(make("title", {}, hint));
  return node;
}

function panel(entries, nouns, range, part) {
  const [width, left, step] = [350, 92, 15.5];
  const bottom = 8 + nouns.length * step;
  const x = (v) => left + 8 + ((v - range[0]) / (range[1] - range[0] || 1)) * (width - left - 20);
  const svg = make("svg", { class: "plot", viewBox: `0 0 ${width} ${bottom + 36}`, role: "img", "aria-labelledby": `pt${part} pd${part}`, style: "max-width:440px" },
    make("title", { id: `pt${part}` }, `Gain of each noun, part ${part + 1}`),
    make("desc", { id: `pd${part}` }, `Gains in nats of ${entries.map((e) => e.model).join(", ")} for ${nouns.join(", ")}.`));
  for (const tick of ticks(range)) {
    svg.append(make("line", { x1: x(tick), x2: x(tick), y1: 8, y2: bottom, class: tick === 0 ? "zero" : "grid" }),
      make("text", { x: x(tick), y: bottom + 15, class: "tick", "text-anchor": "middle" }, sign(String(tick))));
  }
  svg.append(make("text", { x: (left + width) / 2, y: bottom + 32, class: "label", "text-anchor": "middle" }, "gain (nats)"));
  nouns.forEach((noun, i) => {
    const y = 8 + step * (i + 0.5);
    const values = entries.map((e) => e.nouns[noun]).filter((v) => v !== undefined);
    svg.append(make("text", { x: left, y: y + 4, class: "row", "text-anchor": "end" }, noun.length > 14 ? `${noun.slice(0, 13)}…` : noun));
    if (values.length > 1) svg.append(make("line", { x1: x(Math.min(...values)), x2: x(Math.max(...values)), y1: y, y2: y, class: "stem" }));
    entries.forEach((e, k) => {
      if (noun in e.nouns) svg.append(mark(k, x(e.nouns[noun]), y, `${e.model}, ${noun}: ${fixed(e.nouns[noun])}`));
    });
  });
  return svg;
}

function ticks([low, high]) {
  const raw = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const out = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) out.push(Number((k * step).toFixed(6)));
  return out;
}

function nounFigure(entries) {
  const first = entries[0];
  const nouns = [...new Set(entries.flatMap((e) => Object.keys(e.nouns)))];
  nouns.sort((a, b) => (first.nouns[b] ?? -1e9) - (first.nouns[a] ?? -1e9));
  const values = entries.flatMap((e) => Object.values(e.nouns));
  const range = [Math.min(0, ...values), Math.max(0, ...values)];
  const columns = Math.min(3, Math.ceil(nouns.length / 8)) || 1;
  const each = Math.ceil(nouns.length / columns);
  const panels = make("div", { class: "panels many" });
  for (let i = 0; i < columns; i += 1) panels.append(panel(entries, nouns.slice(i * each, (i + 1) * each), range, i));
  const legend = make("ul", { class: "legend" }, ...entries.map((e, k) =>
    make("li", {}, make("svg", { viewBox: "0 0 14 14", width: "14", height: "14", "aria-hidden": "true" }, mark(k, 7, 7)), e.model)));
  const paired = entries.slice(1).filter((e) => alike(first, e));
  const minus = (e, n) => (n in first.nouns && n in e.nouns ? fixed(first.nouns[n] - e.nouns[n]) : null);
  const data = make("details", {}, make("summary", {}, "Data and differences"),
    table("Gain of each noun, and the paired differences (nats)",
      ["Noun", ...entries.map((e) => e.model), ...paired.map((e) => `${first.model} \u2212 ${e.model}`)],
      nouns.map((n) => [n, ...entries.map((e) => fixed(e.nouns[n])), ...paired.map((e) => minus(e, n))])));
  return make("figure", { class: "wide" }, make("h2", {}, "Gain of each noun"), legend, panels, data);
}

function show(entries) {
  const page = document.getElementById("compared");
  const unlike = entries.filter((e) => !alike(entries[0], e));
  if (unlike.length) {
    document.getElementById("state").textContent = `${unlike.map((e) => e.model).join(", ")}: measured on another testbed or form than ${entries[0].model}, so no number here can be compared. Choose models of ${entries[0].board}.`;
    entries = entries.filter((e) => alike(entries[0], e));
    if (entries.length < 2) { page.replaceChildren(); page.dataset.ready = "true"; return; }
  }
  page.replaceChildren(headline(entries), differences(entries[0], entries.slice(1)),
    make("p", { class: "note" }, "Intervals of differences are a seeded bootstrap over the shared nouns (5,000 draws), computed in this page; they are not corrected for several comparisons. Ranks on the board use clustered tests."),
    make("section", {}, nounFigure(entries)));
  page.dataset.ready = "true";
}
