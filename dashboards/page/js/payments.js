// Was every order paid, and with how much?

import { axes, chart, color, tooltip } from "./chart.js";
import { choice, figures, h, message } from "./dom.js";
import { day, decimal, int, intShort, month, percent, title, usd, words } from "./format.js";
import { bar, table } from "./table.js";

const BUCKETS = ["0-7 days", "8-30 days", "31-90 days", "over 90 days", "unknown"];
const sum = (rows, key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);

export function render(data, define) {
  const view = h(
    "section",
    {},
    h("h1", {}, "Payment reconciliation"),
    h("p", { class: "definition" }, "Every order against its payments, and every payment against its order. Reconciled means that nothing is left to do; the others are open."),
  );
  if (!data.outcomes.length) {
    view.append(message("No order and no payment has landed yet."));
    return view;
  }
  const orders = sum(data.outcomes, "orders");
  const open = data.outcomes.filter((row) => !row.is_reconciled);
  const matched = data.outcomes.filter((row) => row.status === "matched");
  view.append(
    figures([
      ["Orders", int(orders)],
      ["Reconciled", percent(1 - sum(open, "orders") / orders), `${int(orders - sum(open, "orders"))} orders`],
      ["Paid as owed", percent(sum(matched, "orders") / orders), `${int(sum(matched, "orders"))} matched`],
      ["Open", int(sum(open, "orders")), `${usd(sum(data.ageing, "open_amount_cents"))} to find, to give back or to argue about`],
      ["Platform fees", usd(sum(data.outcomes, "fee_cents"))],
      ["Paid out to sellers", usd(sum(data.outcomes, "payout_cents"))],
    ]),
    h("h2", {}, "Orders by month"),
    chart({
      label: `Orders by month of the order, reconciled and open: ${int(sum(data.months, "open"))} of ${int(sum(data.months, "open") + sum(data.months, "reconciled"))} are open.`,
      size: "short",
      legend: [["c0", "Reconciled"], ["c1", "Open"]],
      option: () => ({
        ...axes(data.months.map((row) => row.month), (text) => month(text), intShort),
        tooltip: tooltip(month, int, { total: true }),
        series: [["Reconciled", "reconciled", "c0"], ["Open", "open", "c1"]].map(([name, key, hue]) => ({
          ...{ name, type: "bar", stack: "all", barCategoryGap: "25%", data: data.months.map((row) => row[key]), itemStyle: { color: color(hue) } },
        })),
      }),
      numbers: () =>
        table(
          [
            { name: "Month", head: true, cell: (row) => month(row.month) },
            { name: "Reconciled", cell: (row) => int(row.reconciled), number: true },
            { name: "Open", cell: (row) => int(row.open), number: true },
          ],
          [...data.months].reverse(),
          { caption: "Orders by month; without those that have no date", high: true },
        ),
    }),
  );
  view.append(h("h2", {}, "What is open, and how long"), h("p", { class: "definition" }, `${define.ageing_bucket} Counted to the newest order, ${day(data.as_of)}.`));
  view.append(...(open.length ? ageing(data) : [message("Nothing is open.")]));
  view.append(h("h2", {}, "What became of each order"), h("p", { class: "definition" }, `${define.reconciliation_status} The reason says why.`), outcomes(data));
  view.append(
    h("h2", {}, "Amounts by currency"),
    h("p", { class: "definition" }, "In the order's own currency. Payments in another one are converted; without a rate they are unknown, not nothing."),
    table(
      [
        { name: "Currency", key: "currency", head: true },
        { name: "Orders", cell: (row) => int(row.orders), number: true },
        { name: "Open", cell: (row) => int(row.open), number: true },
        ...["owed", "paid", "refunded", "disputed", "difference"].map((key) => ({ name: title(key), cell: (row) => decimal(row[key]), number: true })),
      ],
      data.currencies,
      { caption: "Amounts by currency", hideCaption: true },
    ),
  );
  if (data.work_list.length) view.append(workList(data, sum(open, "orders")));
  return view;
}

/** Open orders by reason and age, as a chart and as amounts. */
function ageing(data) {
  const reasons = [...new Set(data.ageing.map((row) => row.reason))];
  const cell = (reason, bucket) => data.ageing.find((row) => row.reason === reason && row.bucket === bucket);
  const total = (reason, key) => sum(data.ageing.filter((row) => row.reason === reason), key);
  reasons.sort((a, b) => total(b, "orders") - total(a, "orders"));
  const buckets = BUCKETS.filter((bucket) => data.ageing.some((row) => row.bucket === bucket));
  const result = h("div");
  const draw = (key) => {
    const show = key === "orders" ? int : usd;
    const columns = [
      { name: "Reason", head: true, cell: (reason) => title(reason) },
      ...buckets.map((bucket) => ({ name: bucket, number: true, cell: (reason) => show(cell(reason, bucket)?.[key] ?? (key === "orders" ? 0 : null)) })),
      { name: "All", number: true, cell: (reason) => show(total(reason, key)) },
    ];
    const foot = Symbol("all");
    const footed = columns.map((column, i) => ({
      ...column,
      cell: (row) => (row !== foot ? column.cell(row) : i === 0 ? "All" : show(sum(i <= buckets.length ? data.ageing.filter((each) => each.bucket === buckets[i - 1]) : data.ageing, key))),
    }));
    const unvalued = sum(data.ageing, "unvalued");
    const missing = unvalued ? `; ${int(unvalued)} orders without a rate or without an order add nothing` : "";
    const note = key === "orders" ? "Open orders by reason and age" : `Dollars to find, to give back or to argue about${missing}`;
    result.replaceChildren(table(footed, reasons, { caption: note, total: foot }));
  };
  draw("orders");
  return [
    h("form", { class: "filters", "aria-label": "What the table shows", onsubmit: (event) => event.preventDefault() }, choice("Show", [["orders", "Orders"], ["open_amount_cents", "Dollars"]], "orders", draw)),
    result,
  ];
}

/** Every status and reason, open or not. */
function outcomes(data) {
  const result = h("div");
  const most = Math.max(...data.outcomes.map((row) => row.orders), 1);
  const draw = (which) => {
    const rows = data.outcomes.filter((row) => which === "all" || row.is_reconciled === (which === "reconciled"));
    if (!rows.length) return result.replaceChildren(message("No such order."));
    const total = { orders: sum(rows, "orders"), difference_cents: sum(rows, "difference_cents") };
    result.replaceChildren(
      table(
        [
          { name: "Status", head: true, cell: (row) => (row === total ? "All" : title(row.status)) },
          { name: "Reason", cell: (row) => (row === total ? null : words(row.reason)) },
          { name: "Open", cell: (row) => (row === total ? null : row.is_reconciled ? "no" : "open") },
          { name: "Share of the largest", class: "bar", cell: (row) => (row === total ? null : bar(row.orders / most, row.is_reconciled ? "var(--c0)" : "var(--c1)")) },
          { name: "Orders", cell: (row) => int(row.orders), number: true },
          { name: "Owed less paid", cell: (row) => usd(row.difference_cents), number: true },
        ],
        rows,
        { caption: "Orders by status and reason", total, hideCaption: true },
      ),
    );
  };
  draw("all");
  const options = [["all", "All"], ["open", "Open"], ["reconciled", "Reconciled"]];
  return h("div", {}, h("form", { class: "filters", "aria-label": "Which orders", onsubmit: (event) => event.preventDefault() }, choice("Show", options, "all", draw)), result);
}

/** The oldest and largest open orders. */
function workList(data, open) {
  const content = () =>
    table(
      [
        { name: "Order", key: "order_id", head: true, class: "code" },
        { name: "Days open", cell: (row) => int(row.days_open), number: true },
        { name: "Status", cell: (row) => title(row.status) },
        { name: "Reason", cell: (row) => words(row.reason) },
        { name: "Open amount", cell: (row) => `${decimal(row.open_amount)} ${row.currency ?? ""}`, number: true },
        { name: "In dollars", cell: (row) => usd(row.open_amount_cents), number: true },
      ],
      data.work_list,
      { caption: "The oldest first, then the largest", high: true },
    );
  const details = h(
    "details",
    { ontoggle: () => details.children.length === 1 && details.append(content()) },
    h("summary", {}, `Finance's work list: the first ${int(data.work_list.length)} of ${int(open)} open orders`),
  );
  return details;
}
