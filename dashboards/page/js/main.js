// The frame: which view is shown, what it needs, and the theme.

import { redraw } from "./chart.js";
import { h, message } from "./dom.js";
import { day, time } from "./format.js";

const VIEWS = ["sales", "sellers", "tiers", "payments", "cohorts", "quality"];
const main = document.getElementById("main");
const loaded = new Map();

/** A data file; asked for once. */
async function data(name) {
  if (!loaded.has(name)) {
    const answer = await fetch(`data/${name}.json`);
    if (!answer.ok) throw new Error(`data/${name}.json: ${answer.status}`);
    loaded.set(name, await answer.json());
  }
  return loaded.get(name);
}

const wanted = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : VIEWS[0]);

/** Show the view of the address; `move` the focus there, for a reader who followed a link. */
async function show(move) {
  const name = wanted();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let content;
  try {
    const [view, values, about] = await Promise.all([import(`./${name}.js`), data(name), data("about")]);
    if (name !== wanted()) return;
    content = view.render(values, about.definitions);
    document.title = `${content.querySelector("h1").textContent} · Marketplace`;
    const from = about.warehouse === "BigQuery" ? "" : `, ${about.warehouse}`;
    document.getElementById("built").textContent = `Built ${time(about.built_at)} from the marts of ${about.project}${from}. Dates are UTC.`;
  } catch (error) {
    content = message(`This view could not be loaded (${error.message}). Is the page served, and was it built to its end? \`make dashboard\` does both.`);
  }
  main.replaceChildren(content);
  main.dataset.view = name;
  if (move) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/** Which theme is seen now, chosen or the system's. */
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function theme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const label = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
    redraw();
  };
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch {
    // A browser that keeps nothing still shows the system's theme.
  }
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // It holds until the page is left.
    }
    label();
  });
  system.addEventListener("change", label);
  label();
}

theme();
addEventListener("hashchange", () => show(true));
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address names the view; the link only moves the focus.
  event.preventDefault();
  main.focus();
});
show(false);
data("sales").then(
  (sales) => (document.getElementById("as-of").textContent = sales.last_day ? `Orders up to ${day(sales.last_day)}` : "No order yet"),
  () => {},
);
