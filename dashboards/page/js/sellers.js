// Sellers: all of them by tier, and a table that sorts and searches.

import { h, id, message, select, swatch } from "./dom.js";
import { NOTHING, day, int, stars, title, usd } from "./format.js";
import { bar, pagedTable, records, table } from "./table.js";

const NO_TIER = "none";
const ALL = "";
/** A tier with its colour; one that the page does not know has no colour of its own. */
export const tierName = (tier) => (tier === NO_TIER ? "No tier" : title(tier));
export const tierColor = (tier) => (["platinum", "gold", "silver", "bronze"].includes(tier) ? tier : "none");

export function render(data, define) {
  const view = h("section", {}, h("h1", {}, "Sellers"), h("p", { class: "definition" }, `${define.sales_gmv_usd} ${define.net_gmv_usd}`));
  if (!data.total) {
    view.append(message("No seller has landed yet."));
    return view;
  }
  const rows = records(data);
  for (const row of rows) row.tier = row.current_tier ?? NO_TIER;
  const most = Math.max(...data.tiers.map((row) => row.gmv), 1);
  const total = { tier: null };
  for (const measure of ["sellers", "selling", "gmv", "net"]) total[measure] = data.tiers.reduce((sum, row) => sum + row[measure], 0);
  view.append(
    h("h2", {}, "By today's tier"),
    table(
      [
        { name: "Tier", head: true, cell: (row) => (row === total ? "All" : [swatch(`var(--${tierColor(row.tier)})`), tierName(row.tier)]) },
        { name: "Share of the largest", class: "bar", cell: (row) => (row === total ? null : bar(row.gmv / most, `var(--${tierColor(row.tier)})`)) },
        { name: "Sellers", cell: (row) => int(row.sellers), number: true },
        { name: "With sales", cell: (row) => int(row.selling), number: true },
        { name: "GMV", cell: (row) => usd(row.gmv), number: true },
        { name: "Net GMV", cell: (row) => usd(row.net), number: true },
      ],
      data.tiers,
      { caption: "Sellers by tier", total, hideCaption: true },
    ),
  );

  const state = { text: "", tier: ALL, region: ALL };
  const keep = (row) =>
    (state.tier === ALL || row.tier === state.tier) &&
    (state.region === ALL || row.region === state.region) &&
    (state.text === "" || row.seller_id.toLowerCase().includes(state.text));
  const paged = pagedTable(
    [
      { name: "Seller", head: true, class: "code", cell: (row) => row.seller_id + (row.is_deleted ? " (deleted)" : ""), sort: (row) => row.seller_id },
      { name: "Tier", cell: (row) => [swatch(`var(--${tierColor(row.tier)})`), tierName(row.tier)], sort: (row) => rank(data.tiers, row.tier) },
      { name: "Since", cell: (row) => day(row.tier_since), sort: (row) => row.tier_since, number: true },
      { name: "Region", cell: (row) => row.region ?? NOTHING, sort: (row) => row.region },
      { name: "GMV", cell: (row) => usd(row.gmv), sort: (row) => row.gmv, number: true },
      { name: "Net GMV", cell: (row) => usd(row.net), sort: (row) => row.net, number: true },
      { name: "Orders", cell: (row) => int(row.orders), sort: (row) => row.orders, number: true },
      { name: "AOV", cell: (row) => usd(row.average_order_value), sort: (row) => row.average_order_value, number: true },
      { name: "Rating", cell: (row) => (row.reviews ? `${stars(row.average_rating)} (${int(row.reviews)})` : NOTHING), sort: (row) => row.average_rating, number: true },
      { name: "Up / down", cell: (row) => `${int(row.tier_upgrades)} / ${int(row.tier_downgrades)}`, sort: (row) => row.tier_upgrades - row.tier_downgrades, number: true },
    ],
    rows,
    { caption: "Sellers, sortable by their column heads", sorted: ["GMV", true], keep },
  );
  const set = (name) => (value) => {
    state[name] = value;
    paged.update();
  };
  const search = h("input", { type: "search", id: id(), autocomplete: "off", spellcheck: "false", oninput: () => set("text")(search.value.trim().toLowerCase()) });
  const regions = [...new Set(rows.map((row) => row.region).filter(Boolean))].sort();
  const cut = data.total > rows.length ? ` The ${int(rows.length)} with the most GMV of ${int(data.total)}; the figures above count all.` : "";
  view.append(
    h("h2", {}, "Each seller"),
    h("p", { class: "definition" }, `${define.average_order_value_usd} Rating: ${define.average_rating.replace(/^M/, "m")} Their number is in brackets.${cut}`),
    h(
      "form",
      { class: "filters", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
      h("div", {}, h("label", { for: search.id }, "Seller's id contains"), search),
      select("Tier", [[ALL, "All tiers"], ...data.tiers.map((row) => [row.tier, tierName(row.tier)])], ALL, set("tier")),
      select("Region", [[ALL, "All regions"], ...regions.map((name) => [name, name])], ALL, set("region")),
    ),
    paged.element,
  );
  return view;
}

/** Tiers sort by rank, as the data lists them: the best first. */
const rank = (tiers, tier) => tiers.findIndex((row) => row.tier === tier);
