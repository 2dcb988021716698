// Light, dark, or as the system: set before the page is drawn, kept for the next visit.
"use strict";
(() => {
  const root = document.documentElement;
  const names = { "": "as the system", light: "light", dark: "dark" };
  const kept = () => { try { return localStorage.getItem("groundbench-theme") ?? ""; } catch { return ""; } };
  const keep = (value) => { try { localStorage.setItem("groundbench-theme", value); } catch { /* private window */ } };
  const set = (value) => { if (value) root.dataset.theme = value; else delete root.dataset.theme; };
  let now = kept() in names ? kept() : "";
  set(now);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const say = () => { button.textContent = `Theme: ${names[now]}`; };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      now = { "": "light", light: "dark", dark: "" }[now];
      keep(now);
      set(now);
      say();
    });
  });
})();
