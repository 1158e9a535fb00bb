// How sellers move through the tiers.

import { axes, chart, color, tooltip } from "./chart.js";
import { h, message, swatch } from "./dom.js";
import { day, int, intShort, month, title, usd } from "./format.js";
import { tierColor, tierName } from "./sellers.js";
import { table } from "./table.js";

export function render(data, define) {
  const view = h("section", {}, h("h1", {}, "Tiers"), h("p", { class: "definition" }, "Each seller is in one tier at a time; a change begins a new period."));
  if (!data.as_of) {
    view.append(message("No seller has had a tier yet."));
    return view;
  }
  const last = data.months.length - 1;
  const now = data.tiers.map((tier) => `${int(data.stock[tier][last])} ${tierName(tier).toLowerCase()}`).join(", ");
  view.append(
    h("h2", {}, "Sellers in each tier, at the end of the month"),
    chart({
      label: `Sellers in each tier from ${month(data.months[0])} to ${month(data.months[last])}; at the end ${now}.`,
      legend: data.tiers.map((tier) => [tierColor(tier), tierName(tier)]),
      option: () => ({
        ...axes(data.months, (text) => month(text), intShort),
        tooltip: tooltip(month, int, { total: true }),
        series: [...data.tiers].reverse().map((tier) => ({
          ...{ name: tierName(tier), type: "line", stack: "all", symbol: "none", emphasis: { disabled: true } },
          ...{ data: data.stock[tier], itemStyle: { color: color(tierColor(tier)) }, lineStyle: { width: 0 }, areaStyle: { opacity: 1 } },
        })),
      }),
      numbers: () =>
        table(
          [
            { name: "Month", head: true, cell: (i) => month(data.months[i]) },
            ...data.tiers.map((tier) => ({ name: tierName(tier), cell: (i) => int(data.stock[tier][i]), number: true })),
          ],
          data.months.map((_, i) => last - i),
          { caption: "Sellers in each tier at the end of the month", high: true },
        ),
    }),
  );
  if (data.flows.length) view.append(...flows(data));
  view.append(
    h("h2", {}, "How periods begin"),
    h("p", { class: "definition" }, `${define.movement} GMV is what was sold in those periods; days run to the newest order.`),
    table(
      [
        { name: "Movement", head: true, cell: (row) => title(row.movement) },
        { name: "From", cell: (row) => tier(row.previous_tier) },
        { name: "To", cell: (row) => tier(row.tier) },
        { name: "Periods", cell: (row) => int(row.periods), number: true },
        { name: "Mean days", cell: (row) => int(Math.round(row.days / row.periods)), number: true },
        { name: "GMV", cell: (row) => usd(row.gmv), number: true },
        { name: "Net GMV", cell: (row) => usd(row.net), number: true },
      ],
      data.movements,
      { caption: "Tier periods by how they begin", hideCaption: true },
    ),
  );
  return view;
}

const tier = (name) => [swatch(`var(--${tierColor(name)})`), tierName(name)];

/** Who went where between two moments a year apart. */
function flows(data) {
  const links = data.flows.flatMap((pairs, step) => pairs.map((pair) => ({ ...pair, step })));
  const moved = links.filter((link) => link.source !== link.target).reduce((sum, link) => sum + link.sellers, 0);
  // Best tier on top, no tier at the bottom, in every column.
  const order = [...data.tiers, "none"];
  const nodes = data.moments.flatMap((_, step) =>
    order.filter((name) => links.some((link) => (link.step === step && link.source === name) || (link.step === step - 1 && link.target === name))).map((name) => ({ name, step })),
  );
  const label = (link) => `${tierName(link.from)} → ${tierName(link.to)}`;
  return [
    h("h2", {}, "Where sellers were, a year apart"),
    h("p", { class: "definition" }, `Columns, from left to right: ${data.moments.map((text) => day(text)).join(", ")}. A band's width is its number of sellers.`),
    chart({
      label: `Sellers by tier on ${data.moments.map((text) => day(text)).join(", ")}; ${int(moved)} times the tier differs from the year before.`,
      size: "tall",
      legend: order.filter((name) => nodes.some((node) => node.name === name)).map((name) => [tierColor(name), tierName(name)]),
      option: () => ({
        tooltip: {
          trigger: "item",
          formatter: ({ dataType, data: item }) =>
            dataType === "edge"
              ? h("div", { class: "tip" }, h("p", {}, label(item)), `${day(data.moments[item.step])} to ${day(data.moments[item.step + 1])}: ${int(item.value)} sellers`)
              : h("div", { class: "tip" }, h("p", {}, tierName(item.tier)), day(data.moments[item.depth])),
        },
        series: [
          {
            ...{ type: "sankey", left: 0, right: 0, top: 8, bottom: 8, nodeWidth: 10, nodeGap: 10, layoutIterations: 0, draggable: false },
            emphasis: { focus: "none" },
            label: { show: false },
            lineStyle: { color: "source", opacity: 0.3, curveness: 0.5 },
            data: nodes.map((node) => ({ name: `${node.step} ${node.name}`, tier: node.name, depth: node.step, itemStyle: { color: color(tierColor(node.name)), borderWidth: 0 } })),
            links: links.map(({ source, target, sellers, step }) => ({ source: `${step} ${source}`, target: `${step + 1} ${target}`, value: sellers, from: source, to: target, step })),
          },
        ],
      }),
      numbers: () =>
        table(
          [
            { name: "From", head: true, cell: (link) => day(data.moments[link.step]) },
            { name: "To", cell: (link) => day(data.moments[link.step + 1]) },
            { name: "Tier before", cell: (link) => tier(link.source) },
            { name: "Tier after", cell: (link) => tier(link.target) },
            { name: "Sellers", cell: (link) => int(link.sellers), number: true },
          ],
          links,
          { caption: "Sellers by their tier a year apart", high: true },
        ),
    }),
  ];
}
