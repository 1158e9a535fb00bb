// Can the figures be trusted? Freshness, tests, quarantine, and what the last runs did.

import { figures, h, message } from "./dom.js";
import { NOTHING, day, int, seconds, time, title, words } from "./format.js";
import { bar, table } from "./table.js";

const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
const verdict = (status) => h("span", { class: status.endsWith("failed") ? "bad" : status === "published" || status === "success" ? "good" : "quiet" }, `${status.endsWith("failed") ? "✕" : status === "unfinished" ? "…" : "✓"} ${status}`);

export function render(data, define) {
  const landed = data.freshness.map((row) => row.landed_at).filter(Boolean).sort();
  const failed = data.tests.flatMap((row) => row.failed);
  const warned = data.tests.flatMap((row) => row.warned);
  return h(
    "section",
    {},
    h("h1", {}, "Quality and runs"),
    h("p", { class: "definition" }, "No row is dropped in silence: one that breaks a rule is in quarantine with its reason, and leaves by itself once it is mended at the source."),
    figures([
      ["Newest order", day(data.newest_order_date)],
      ["Last landed", time(landed.at(-1))],
      ["Tests passed", data.tests.length ? `${int(sum(data.tests, "tests_passed"))} of ${int(sum(data.tests, "tests"))}` : NOTHING, data.tests.length ? `${int(warned.length)} warned, ${int(failed.length)} failed` : null],
      ["In quarantine", int(sum(data.quarantine, "n"))],
    ]),
    h("h2", {}, "Runs"),
    h("p", { class: "definition" }, "The heavy steps are done by dbt or by Spark; the run says which, and why."),
    ...(data.runs.length ? runs(data.runs) : [message("No run is recorded yet: `make demo` makes one.")]),
    h("h2", {}, "Quarantine"),
    h("p", { class: "definition" }, `${define.quarantine_reason}`),
    data.quarantine.length ? quarantine(data.quarantine) : message("The quarantine is empty."),
    h("h2", {}, "Tests"),
    data.tests.length ? tests(data.tests) : message("dbt keeps its last outcome on the machine that ran it; there is none here."),
    h("h2", {}, "Freshness"),
    h("p", { class: "definition" }, "When the newest row of each raw table landed. A table without changes at the source stays as old as it is."),
    data.freshness.length
      ? table(
          [
            { name: "Table", key: "name", head: true },
            { name: "Rows", cell: (row) => int(row.n), number: true },
            { name: "Newest row landed", cell: (row) => time(row.landed_at), number: true },
          ],
          data.freshness,
          { caption: "Freshness of raw", hideCaption: true },
        )
      : message("Nothing has landed yet."),
  );
}

function runs(all) {
  const spent = (run) => (new Date(run.ended_at) - new Date(run.started_at)) / 1000;
  return [
    table(
      [
        { name: "Started", head: true, cell: (run) => time(run.started_at) },
        { name: "Outcome", cell: (run) => verdict(run.status) },
        { name: "Engine", cell: (run) => run.engine ?? NOTHING },
        { name: "Pending rows", cell: (run) => int(run.pending_rows), number: true },
        { name: "Took", cell: (run) => seconds(spent(run)), number: true },
        { name: "Why this engine", class: "long", cell: (run) => run.why ?? NOTHING },
      ],
      all,
      { caption: "The newest runs first", hideCaption: true },
    ),
    ...all.map((run, i) => steps(run, i === 0)),
  ];
}

function steps(run, isNewest) {
  const most = Math.max(...run.steps.map((step) => step.seconds), 1);
  return h(
    "details",
    { open: isNewest },
    h("summary", {}, `Steps of the run of ${time(run.started_at)}`),
    table(
      [
        { name: "Step", head: true, cell: (step) => words(step.step) },
        { name: "Outcome", cell: (step) => verdict(step.status) },
        { name: "Seconds", cell: (step) => step.seconds.toFixed(1), number: true },
        { name: "Share of the longest", class: "bar", cell: (step) => bar(step.seconds / most, step.status === "success" ? null : "var(--bad)") },
        { name: "Rows", cell: (step) => int(step.rows), number: true },
        { name: "What it said", class: "long", cell: (step) => step.reason || NOTHING },
      ],
      run.steps,
      { caption: run.run_id },
    ),
  );
}

function quarantine(rows) {
  const most = Math.max(...rows.map((row) => row.n), 1);
  return table(
    [
      { name: "Rows of", head: true, cell: (row) => title(row.entity) },
      { name: "Reason", cell: (row) => words(row.reason) },
      { name: "Share of the largest", class: "bar", cell: (row) => bar(row.n / most, "var(--c1)") },
      { name: "Rows", cell: (row) => int(row.n), number: true },
      { name: "First seen", cell: (row) => time(row.first_seen_at), number: true },
      { name: "One of them says", class: "long", cell: (row) => row.example ?? NOTHING },
    ],
    rows,
    { caption: "Quarantine by table and reason", hideCaption: true },
  );
}

function tests(rows) {
  return table(
    [
      { name: "Step", head: true, cell: (row) => title(row.step.replace("-", " ")) },
      { name: "Models", cell: (row) => int(row.models), number: true },
      { name: "Tests", cell: (row) => int(row.tests), number: true },
      { name: "Passed", cell: (row) => int(row.tests_passed), number: true },
      { name: "Ended", cell: (row) => time(row.at), number: true },
      { name: "Warned or failed", class: "long", cell: (row) => [...row.failed, ...row.warned].join(", ") || "none" },
    ],
    rows,
    { caption: "dbt's last outcome, layer by layer", hideCaption: true },
  );
}
