// Daily GMV by region and category.

import { axes, chart, color, series, tooltip } from "./chart.js";
import { choice, figures, h, message, select } from "./dom.js";
import { day, dayShort, int, month, usd, usdShort } from "./format.js";
import { bar, records, table } from "./table.js";

const ALL = "";
const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
const unique = (values) => [...new Set(values)].sort();

export function render(data, define) {
  const view = h("section", {}, h("h1", {}, "Sales"), h("p", { class: "definition" }, `${define.gmv_usd} ${define.net_gmv_usd}`));
  if (!data.last_day) {
    view.append(message("No order that counts has landed yet: pending and cancelled ones do not."));
    return view;
  }
  const regions = unique(data.monthly.merchandise.map((row) => row.region));
  const categories = unique(data.monthly.merchandise.map((row) => row.category));
  const state = { region: ALL, category: ALL, period: String(data.periods[1]), measure: "gmv" };
  const periods = [...data.periods.map((days) => [String(days), days === 365 ? "1 year" : `${days} days`]), ["all", "All"]];
  // A screen reader says the figures of the new choice.
  const facts = h("div", { "aria-live": "polite" });
  const result = h("div");
  const set = (name) => (value) => {
    state[name] = value;
    draw();
  };
  const filters = h(
    "form",
    { class: "filters", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
    select("Region", [[ALL, "All regions"], ...regions.map((name) => [name, name])], ALL, set("region")),
    select("Category", [[ALL, "All categories"], ...categories.map((name) => [name, name])], ALL, set("category")),
    choice("Period", periods, state.period, set("period")),
    choice("GMV", [["gmv", "Gross"], ["net", "Net"]], state.measure, set("measure")),
  );

  /** The rows and times of the period; `cut` keeps the period's part of an array over time. */
  function period() {
    if (state.period === "all") return { times: data.months, format: month, mark: month, unit: "month", ...data.monthly, cut: (values) => values };
    const cut = (values) => values.slice(-Number(state.period));
    return { times: cut(data.days), format: day, mark: dayShort, unit: "day", ...data.daily, cut };
  }
  const inRegion = (row) => state.region === ALL || row.region === state.region;
  const inCategory = (row) => state.category === ALL || row.category === state.category;

  function draw() {
    const { times, format, mark, unit, merchandise, orders, cut } = period();
    const rows = merchandise.filter((row) => inRegion(row) && inCategory(row));
    const total = (measure) => sum(rows.map((row) => sum(cut(row[measure]))));
    const [gross, net] = [total("gmv"), total("net")];
    const counted = orders.filter(inRegion);
    const all = sum(counted.map((row) => sum(cut(row.orders))));
    const valued = sum(counted.map((row) => sum(cut(row.valued))));
    const name = state.measure === "gmv" ? "GMV" : "Net GMV";
    // An order of two categories is one order, so only one category's or all orders may be summed.
    const average = state.category === ALL && valued ? Math.round(gross / valued) : null;
    const found = figures([
      ["GMV", usd(gross)],
      ["Net GMV", usd(net)],
      ["Refunded", usd(gross - net)],
      ["Orders", int(state.category === ALL ? all : total("orders"))],
      ["Average order value", usd(average), state.category === ALL ? null : "of whole orders only"],
    ]);
    // The chart splits by what is not filtered: by region, or by category inside one region.
    const split = state.region === ALL ? "region" : "category";
    const names = unique(rows.map((row) => row[split]));
    const place = split === "region" ? regions : categories;
    const lines = names.map((each) => {
      const own = rows.filter((row) => row[split] === each).map((row) => cut(row[state.measure]));
      return { name: each, color: series(place.indexOf(each)), values: times.map((_, i) => sum(own.map((values) => values[i]))) };
    });
    // The largest at the bottom, where it can be read against the axis.
    lines.sort((a, b) => sum(b.values) - sum(a.values));
    const where = [state.region, state.category].filter(Boolean).join(", ") || "all regions and categories";
    const shown = sum(lines.map((line) => sum(line.values)));
    const areas = times.length > 100;
    const picture = chart({
      label: `${name} per ${unit} by ${split}, ${where}, ${format(times[0])} to ${format(times.at(-1))}: ${usd(shown)} in total.`,
      size: "tall",
      legend: lines.map((line) => [line.color, line.name]),
      option: () => ({
        ...axes(times, (text) => mark(text), usdShort),
        tooltip: tooltip(format, usd, { total: true }),
        series: lines.map((line) => ({
          name: line.name,
          type: areas ? "line" : "bar",
          stack: "all",
          data: line.values,
          itemStyle: { color: color(line.color) },
          ...(areas ? { areaStyle: { opacity: 1 }, lineStyle: { width: 0 }, symbol: "none", emphasis: { disabled: true } } : { barCategoryGap: "25%" }),
        })),
      }),
      numbers: () =>
        table(
          [
            { name: unit === "day" ? "Day" : "Month", cell: ([text]) => format(text), head: true },
            ...lines.map((line) => ({ name: line.name, cell: ([, i]) => usd(line.values[i]), number: true })),
          ],
          times.map((text, i) => [text, i]).reverse(),
          { caption: `${name} per ${unit} by ${split}, ${where}`, high: true },
        ),
    });
    facts.replaceChildren(found);
    result.replaceChildren(
      h("h2", {}, `${name} per ${unit}`),
      picture,
      h(
        "div",
        { class: "columns" },
        h("div", {}, h("h2", {}, "By region"), breakdown("Region", regions, merchandise.filter(inCategory), "region", cut)),
        h("div", {}, h("h2", {}, "By category"), breakdown("Category", categories, merchandise.filter(inRegion), "category", cut)),
      ),
      leaves(),
    );
  }

  /** GMV by one dimension, the other one's filter applied. */
  function breakdown(head, names, rows, key, cut) {
    const colors = new Map(names.map((name, i) => [name, `var(--${series(i)})`]));
    const totals = unique(rows.map((row) => row[key])).map((name) => {
      const own = rows.filter((row) => row[key] === name);
      return { name, gmv: sum(own.map((row) => sum(cut(row.gmv)))), net: sum(own.map((row) => sum(cut(row.net)))) };
    });
    totals.sort((a, b) => b[state.measure] - a[state.measure]);
    const most = Math.max(...totals.map((row) => row[state.measure]), 1);
    const whole = { name: "All", gmv: sum(totals.map((row) => row.gmv)), net: sum(totals.map((row) => row.net)) };
    return table(
      [
        { name: head, key: "name", head: true },
        { name: "Share of the largest", class: "bar", cell: (row) => (row === whole ? null : bar(row[state.measure] / most, colors.get(row.name))) },
        { name: "GMV", cell: (row) => usd(row.gmv), number: true },
        { name: "Net GMV", cell: (row) => usd(row.net), number: true },
      ],
      totals,
      { caption: `GMV by ${head.toLowerCase()}`, total: whole, hideCaption: true },
    );
  }

  /** Every category of the tree, for the period and the filters. */
  function leaves() {
    const byPath = new Map();
    const tree = data.categories[state.period];
    for (const row of records(tree).filter((each) => inRegion(each) && inCategory(each))) {
      const found = byPath.get(row.path) ?? { path: row.path, gmv: 0, net: 0, orders: 0, units: 0 };
      for (const measure of ["gmv", "net", "orders", "units"]) found[measure] += row[measure];
      byPath.set(row.path, found);
    }
    // Of all categories: the line that several share has its own count of orders.
    const others = state.category === ALL ? tree.others.filter(inRegion) : [];
    for (const { path } of others) byPath.get(path).orders = 0;
    for (const { path, orders } of others) byPath.get(path).orders += orders;
    const rows = [...byPath.values()];
    const content = () =>
      table(
        [
          { name: "Category", key: "path", head: true },
          { name: "Orders", cell: (row) => int(row.orders), number: true },
          { name: "Units", cell: (row) => int(row.units), number: true },
          { name: "GMV", cell: (row) => usd(row.gmv), number: true },
          { name: "Net GMV", cell: (row) => usd(row.net), number: true },
        ],
        rows,
        { caption: "An order with items of two categories is an order of both: orders do not sum.", high: true },
      );
    const details = h(
      "details",
      { ontoggle: () => details.children.length === 1 && details.append(content()) },
      h("summary", {}, `Every category of the tree (${int(rows.length)})`),
    );
    return details;
  }

  view.append(filters, facts, result);
  draw();
  return view;
}
