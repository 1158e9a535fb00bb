// The frame: which view is shown, what it needs, and the theme.

import { redraw } from "./chart.js";
import { h, message } from "./dom.js";
import { day, time } from "./format.js";

const VIEWS = ["sales", "sellers", "tiers", "payments", "cohorts", "quality"];
const main = document.getElementById("main");
// The build that is shown: what it says of itself, and its views that were asked for.
let build = { about: null, loaded: new Map() };

/** A data file as it is now: a browser's copy may be of an older build. */
async function read(name) {
  const answer = await fetch(`data/${name}.json`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`data/${name}.json: ${answer.status}`);
  return answer.json();
}

/** The newest build: another one may have taken its place while the page was open, and nothing of two is shown together. */
async function newest() {
  const about = await read("about");
  if (about.built_at !== build.about?.built_at) build = { about, loaded: new Map() };
  return build;
}

/** A view's data; asked for once a build. */
async function data({ loaded }, name) {
  if (!loaded.has(name)) loaded.set(name, await read(name));
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
    const [view, shown] = await Promise.all([import(`./${name}.js`), newest()]);
    const values = await data(shown, name);
    if (name !== wanted()) return;
    const { about } = shown;
    content = view.render(values, about.definitions);
    document.title = `${content.querySelector("h1").textContent} · Marketplace`;
    const from = about.warehouse === "BigQuery" ? "" : `, ${about.warehouse}`;
    document.getElementById("built").textContent = `Built ${time(about.built_at)} from the marts of ${about.project}${from}. Dates are UTC.`;
    document.getElementById("as-of").textContent = about.last_day ? `Orders up to ${day(about.last_day)}` : "No order yet";
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
