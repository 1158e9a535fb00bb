// Do customers come back?

import { axes, chart, color, tooltip } from "./chart.js";
import { choice, h, id, message, vary } from "./dom.js";
import { int, intShort, month, percent, percentage, usd } from "./format.js";
import { table } from "./table.js";

const MEASURES = {
  retention: { name: "Retention", unit: ", in percent", format: percentage },
  customers: { name: "Customers", format: int },
  orders: { name: "Orders", format: int },
  gmv: { name: "GMV", format: usd },
};
const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);

export function render({ cohorts }, define) {
  const view = h("section", {}, h("h1", {}, "Cohort retention"), h("p", { class: "definition" }, `${define.cohort_month} ${define.retention_rate}`));
  if (!cohorts.length) {
    view.append(message("Nobody has ordered yet: a cohort begins with a first order that counts."));
    return view;
  }
  const months = Math.max(...cohorts.map((cohort) => cohort.customers.length));
  // All cohorts that are old enough, as one: their customers that came back ÷ their customers.
  const curve = Array.from({ length: months }, (_, n) => {
    const old = cohorts.filter((cohort) => cohort.customers.length > n);
    return { n, cohorts: old.length, rate: sum(old.map((cohort) => cohort.customers[n])) / sum(old.map((cohort) => cohort.size)) };
  });
  const later = curve.slice(1);
  const result = h("div");
  const draw = (key) => result.replaceChildren(map(cohorts, months, key));
  draw("retention");
  view.append(
    h("form", { class: "filters", "aria-label": "What the map shows", onsubmit: (event) => event.preventDefault() }, choice("Show", Object.entries(MEASURES).map(([key, measure]) => [key, measure.name]), "retention", draw)),
    result,
  );
  if (later.length) {
    view.append(
      h("h2", {}, "All cohorts together"),
      chart({
        label: `Share of customers with an order n months after the first, all cohorts that are old enough: ${percent(later[0].rate)} after one month, ${percent(later.at(-1).rate)} after ${later.length}.`,
        size: "short",
        option: () => ({
          ...axes(later.map((point) => point.n), (text) => text, (value) => `${Math.round(value * 100)} %`),
          tooltip: tooltip((n) => `After ${n} month${n === "1" ? "" : "s"}`, percent),
          series: [{ name: "Retention", type: "line", data: later.map((point) => point.rate), symbolSize: 5, itemStyle: { color: color("accent") }, lineStyle: { width: 2 } }],
        }),
        numbers: () =>
          table(
            [
              { name: "Months since the first order", key: "n", head: true },
              { name: "Cohorts", cell: (point) => intShort(point.cohorts), number: true },
              { name: "Retention", cell: (point) => percent(point.rate), number: true },
            ],
            curve,
            { caption: "Retention of all cohorts that are old enough", high: true },
          ),
      }),
    );
  }
  return view;
}

/** The heat map: a table whose cells are coloured against the largest value after the first month, in which everybody is there. */
function map(cohorts, months, key) {
  const { name, unit = "", format } = MEASURES[key];
  const most = Math.max(...cohorts.flatMap((cohort) => cohort[key].slice(1)), 0) || 1;
  const caption = id();
  const cells = (cohort) =>
    cohort[key].map((value, n) => (n === 0 ? h("td", {}, format(value)) : vary(h("td", { "data-heat": true }, format(value)), { "--heat": value / most })));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": caption },
    h(
      "table",
      { class: "heat" },
      h("caption", { id: caption }, `${name}${unit}, by cohort (rows) and months since the first order (columns)`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Cohort"), h("th", { scope: "col" }, "Size"), Array.from({ length: months }, (_, n) => h("th", { scope: "col" }, String(n))))),
      h("tbody", {}, cohorts.map((cohort) => h("tr", {}, h("th", { scope: "row" }, month(cohort.month)), h("td", {}, int(cohort.size)), cells(cohort)))),
    ),
  );
}
