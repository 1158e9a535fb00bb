// ECharts, dressed in the page's own colours and type. It is loaded when the first chart is drawn: figures and tables do not wait for it.

import { h, swatch } from "./dom.js";

const library = () => import("../vendor/echarts/echarts.esm.min.mjs");
const drawn = new Map();

/** A custom property of the page as a colour that a canvas understands. */
export function color(name) {
  const probe = h("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
/** The name of the n-th series' colour. */
export const series = (n) => `c${n % 7}`;

/**
 * A chart with a name, what it says in one sentence for who does not see it, and its numbers as a table to be opened.
 * @param label the sentence
 * @param option () => ECharts' option; asked again when the theme changes
 * @param legend [[colour's name, text]]
 * @param numbers () => the table; built when it is opened
 */
export function chart({ label, option, legend = [], numbers, size = "" }) {
  const canvas = h("div", { class: `chart ${size}`.trim(), role: "img", "aria-label": label });
  const details = h("details", { ontoggle: () => details.children.length === 1 && details.append(numbers()) }, h("summary", {}, "Numbers"));
  const keys = legend.map(([name, text]) => h("li", {}, swatch(`var(--${name})`), text));
  library().then((echarts) => {
    // The reader may have gone on to another view meanwhile.
    release();
    if (!canvas.isConnected) return;
    const instance = echarts.init(canvas, null, { renderer: "canvas" });
    const draw = () => instance.setOption(dress(option()), true);
    draw();
    drawn.set(canvas, { instance, draw });
  });
  return h("figure", {}, canvas, keys.length ? h("ul", { class: "legend", "aria-hidden": "true" }, keys) : null, details);
}

/** Forget the charts that are no longer shown. */
function release() {
  for (const [canvas, { instance }] of drawn) {
    if (canvas.isConnected) continue;
    instance.dispose();
    drawn.delete(canvas);
  }
}

/** Draw all charts anew: the theme has changed. */
export function redraw() {
  for (const { draw } of drawn.values()) draw();
}

addEventListener("resize", () => {
  for (const { instance } of drawn.values()) instance.resize();
});

/** What all charts have in common. */
function dress(option) {
  const font = getComputedStyle(document.body).fontFamily;
  return {
    animation: false,
    aria: { enabled: false },
    textStyle: { fontFamily: font, color: color("quiet") },
    ...option,
    tooltip: {
      confine: true,
      backgroundColor: color("raised"),
      borderColor: color("line"),
      textStyle: { color: color("ink") },
      ...option.tooltip,
    },
  };
}

/** Axes of a chart over time: hairlines, few labels. */
export function axes(times, label, value) {
  const text = { color: color("quiet"), fontSize: 12 };
  return {
    grid: { left: 2, right: 6, top: 12, bottom: 6, containLabel: true },
    xAxis: {
      type: "category",
      data: times,
      axisLine: { lineStyle: { color: color("line") } },
      axisTick: { show: false },
      axisLabel: { ...text, formatter: label, hideOverlap: true, margin: 10, alignMinLabel: "left", alignMaxLabel: "right" },
    },
    yAxis: {
      type: "value",
      splitNumber: 4,
      splitLine: { lineStyle: { color: color("line") } },
      axisLabel: { ...text, formatter: value },
    },
  };
}

/** A tooltip over all series of one moment, built of elements: names from the data stay text. */
export function tooltip(heading, format, { total = false } = {}) {
  return {
    trigger: "axis",
    axisPointer: { type: "line", lineStyle: { color: color("field") } },
    formatter: (points) => {
      const line = (name, value, mark, kind) =>
        h("li", { class: kind ?? null }, h("span", {}, mark ? swatch(mark) : null, name), h("span", {}, format(value)));
      const lines = points.map((point) => line(point.seriesName, point.value, point.color));
      if (total && points.length > 1) {
        lines.push(line("Total", points.reduce((sum, point) => sum + point.value, 0), null, "total"));
      }
      return h("div", { class: "tip" }, h("p", {}, heading(points[0].axisValue)), h("ul", {}, lines));
    },
  };
}
