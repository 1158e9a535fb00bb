// Tables: plain ones, and the one that sorts, searches and turns pages.

import { h, id, vary } from "./dom.js";
import { int } from "./format.js";

/** Rows as objects, of data that name their columns once. */
export const records = ({ columns, rows }) => rows.map((values) => Object.fromEntries(columns.map((name, i) => [name, values[i]])));

const cell = (column, row) => {
  const value = column.cell ? column.cell(row) : row[column.key];
  const kind = [column.number ? "number" : "", column.class ?? ""].join(" ").trim();
  return h(column.head ? "th" : "td", { class: kind || null, scope: column.head ? "row" : null }, value);
};

/** A bar says what its figure says, so the head of its column is for who cannot see it. */
const title = (column) => (column.class === "bar" ? h("span", { class: "visually-hidden" }, column.name) : column.name);

/** A cell with a bar of `share` of the column's width; it repeats a number that stands beside it, so it is silent. */
export const bar = (share, color) =>
  vary(h("div", { "aria-hidden": "true" }), { "--share": Math.max(0, Math.min(1, share || 0)), "--swatch": color ?? "var(--accent)" });

/**
 * A table in a frame that scrolls by itself.
 * @param columns [{name, key | cell(row), number, head, class}]: `head` marks the column that names its row
 * @param rows what `cell` gets
 * @param options caption (always there, as the table's name), total: a row for the foot, high: scroll down too
 */
export function table(columns, rows, { caption, total, high, hideCaption } = {}) {
  const name = id();
  const heads = columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : column.class === "bar" ? "bar" : null }, title(column)));
  return h(
    "div",
    { class: high ? "scroll high" : "scroll", tabindex: "0", role: "region", "aria-labelledby": name },
    h(
      "table",
      {},
      h("caption", { id: name, class: hideCaption ? "visually-hidden" : null }, caption),
      h("thead", {}, h("tr", {}, heads)),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((column) => cell(column, row))))),
      total ? h("tfoot", {}, h("tr", {}, columns.map((column) => cell(column, total)))) : null,
    ),
  );
}

const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));

/**
 * A table of many rows: its heads sort, and it shows a page at a time.
 * @param columns as for `table`, and `sort`: what a row is sorted by (default: the key's value); rows without it come last
 * @param all every row
 * @param options caption, sorted: [column name, descending], size: rows of a page, keep(row): the filter
 * @returns {element, update}: call `update` after what `keep` looks at has changed
 */
export function pagedTable(columns, all, { caption, sorted, size = 25, keep = () => true }) {
  let [by, descending] = sorted;
  let page = 0;
  const name = id();
  const heads = columns.map((column) => {
    const button = h("button", { type: "button", onclick: () => sort(column) }, column.name);
    return h("th", { scope: "col", class: column.number ? "number" : null }, button);
  });
  const body = h("tbody");
  const status = h("p", { role: "status" });
  const previous = h("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const next = h("button", { type: "button", onclick: () => turn(1) }, "Next");
  const key = (row) => {
    const column = columns.find((each) => each.name === by);
    return column.sort ? column.sort(row) : row[column.key];
  };

  function sort(column) {
    descending = by === column.name ? !descending : Boolean(column.number);
    by = column.name;
    update();
  }
  function turn(step) {
    page += step;
    draw();
  }
  function draw() {
    const found = all.filter(keep);
    const has = found.filter((row) => key(row) !== null && key(row) !== undefined);
    has.sort((a, b) => (descending ? -1 : 1) * compare(key(a), key(b)));
    const ordered = [...has, ...found.filter((row) => !has.includes(row))];
    const pages = Math.max(1, Math.ceil(ordered.length / size));
    page = Math.min(page, pages - 1);
    const shown = ordered.slice(page * size, (page + 1) * size);
    columns.forEach((column, i) => {
      if (column.name === by) heads[i].setAttribute("aria-sort", descending ? "descending" : "ascending");
      else heads[i].removeAttribute("aria-sort");
    });
    body.replaceChildren(...shown.map((row) => h("tr", {}, columns.map((column) => cell(column, row)))));
    status.textContent = ordered.length
      ? `${int(page * size + 1)} to ${int(page * size + shown.length)} of ${int(ordered.length)}`
      : "Nothing matches these filters.";
    previous.disabled = page === 0;
    next.disabled = page === pages - 1;
  }
  function update() {
    page = 0;
    draw();
  }
  draw();
  const frame = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": name },
    h("table", {}, h("caption", { id: name, class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, heads)), body),
  );
  return { element: h("div", {}, frame, h("div", { class: "pager" }, previous, next, status)), update };
}
