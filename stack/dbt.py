"""`python -m stack.dbt STEP`: one layer of the dbt project, built and tested, with its outcome as one line of JSON for whoever called.

The layers are the selectors of dbt/selectors.yml. dbt's own output goes to stderr as it comes; failing nodes are named on lines that start with "error:".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from stack import settings
from stack.settings import ROOT, Settings

# step: (dbt command, selector)
STEPS = {
    "staging": ("build", "staging"),
    "heavy": ("run", "heavy"),
    "heavy-gate": ("test", "heavy"),
    "marts": ("build", "marts"),
}
BAD = ("error", "fail", "runtime error")


def results_path(current: Settings, step: str) -> Path:
    """Where a step's last outcome is kept: {"models": n, "tests_passed": n, "tests_warned": n, "failed": [names], …}."""
    return current.local_dir / "dbt" / f"{step}.json"


def outcome(results: list[Any]) -> dict[str, Any]:
    """Count dbt's results. `rows` are the rows that the adapter reports as written, where it does."""
    tests = [r for r in results if r.node.resource_type in ("test", "unit_test")]
    models = [r for r in results if r.node.resource_type in ("model", "seed", "snapshot")]
    status = {r.node.unique_id: str(r.status) for r in results}
    failed = [r.node.name for r in results if status[r.node.unique_id] in BAD]
    passed = sum(status[r.node.unique_id] == "pass" for r in tests)
    warned = [r.node.name for r in tests if status[r.node.unique_id] == "warn"]
    rows = sum(int(r.adapter_response.get("rows_affected") or 0) for r in models)
    slowest = sorted(results, key=lambda r: -r.execution_time)[:5]
    reason = f"{len(models)} models, {passed} of {len(tests)} tests passed" + (
        f", {len(warned)} warned" if warned else ""
    )
    return {
        "rows": rows,
        "reason": reason,
        "models": len(models),
        "tests": len(tests),
        "tests_passed": passed,
        "warned": warned,
        "failed": failed,
        "slowest": {r.node.name: round(r.execution_time, 2) for r in slowest},
    }


def run(current: Settings, step: str, full_refresh: bool = False) -> int:
    """Run one step. Returns 0, or 1 when a model or a test of severity error failed."""
    from dbt.cli.main import dbtRunner

    started = time.monotonic()
    os.environ.update(current.environment())
    command, selector = STEPS[step]
    project = str(ROOT / "dbt")
    arguments = [command, "--selector", selector, "--project-dir", project, "--profiles-dir", project]
    arguments += [
        "--target-path",
        str(current.local_dir / "dbt" / "target"),
        "--log-path",
        str(current.local_dir / "dbt" / "logs"),
    ]
    if full_refresh and command != "test":
        arguments.append("--full-refresh")
    # dbt prints to stdout; the last line of ours must be the outcome alone.
    stdout = os.dup(1)
    os.dup2(2, 1)
    answer = dbtRunner().invoke(arguments)
    sys.stdout.flush()
    os.dup2(stdout, 1)
    results = getattr(answer.result, "results", None)
    if answer.exception is not None or results is None:
        print(f"error: dbt {command} --selector {selector}: {answer.exception or 'no result'}", file=sys.stderr)
        return 1
    report = outcome(results) | {"step": step, "seconds": round(time.monotonic() - started, 1)}
    for result in results:
        if str(result.status) in BAD:
            message = " ".join((result.message or "").split())
            print(f"error: {result.node.resource_type} {result.node.name}: {message}", file=sys.stderr)
    path = results_path(current, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
    print(json.dumps(report))
    return 0 if answer.success else 1


def main() -> int:
    """Run the step named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m stack.dbt", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--full-refresh", action="store_true", help="rebuild incremental models from raw")
    arguments = parser.parse_args()
    return run(settings.load(), arguments.step, arguments.full_refresh)


if __name__ == "__main__":
    sys.exit(main())
