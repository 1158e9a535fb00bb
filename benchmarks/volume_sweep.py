"""`python -m benchmarks.volume_sweep`: from which volume on the DAG takes the other branch, beside what the threshold says.

For each scale, in a deployment of its own: a whole marketplace in raw by load jobs, the exchange rates, the staging models, and then the function of the task
`decide_engine`, which asks the warehouse what waits for the heavy steps: by policy `volume` at the default threshold, at a threshold of just what waits
(Spark, by the rule: from the threshold on) and at one row more (dbt). Beside it stand both engines' predictions, from the seed that comes with the project.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.deployment import RESULTS, Json, dag_module, deployment, machine, run, save, stage_marketplace
from stack import emulator

SCALES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def at(scale: float, decision: Any) -> Json:
    """What is decided at a scale, by the module of the DAG's decisions."""
    with deployment([emulator]) as current:
        folder = current.local_dir / "parquet"
        run("source.parquet", str(folder), "--scale", str(scale))
        stage_marketplace(folder)

        def decided(threshold: int) -> Any:
            params = {"full_refresh": False, "engine": "auto", "policy": "volume", "spark_threshold_rows": threshold}
            return decision.decide(current, params)

        threshold = current.spark_threshold_rows
        chosen = decided(threshold)
        return {
            "scale": scale,
            "rows": chosen.rows,
            "threshold": threshold,
            "engine": chosen.engine,
            "at_a_threshold_of_the_rows": decided(chosen.rows).engine,
            "at_one_row_more": decided(chosen.rows + 1).engine,
            "predicted_seconds": {name: round(made.seconds, 1) for name, made in chosen.predictions.items()},
            "reason": chosen.reason,
        }


def is_right(step: Json) -> bool:
    """Whether every choice is the one that the rule says: Spark from the threshold on."""
    expected = "spark" if step["rows"] >= step["threshold"] else "dbt"
    choices = (step["engine"], step["at_a_threshold_of_the_rows"], step["at_one_row_more"])
    return choices == (expected, "spark", "dbt")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when a choice is not what the threshold says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.volume_sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES, help="default: 0.01 to 10")
    chosen = parser.parse_args(arguments)
    decision = dag_module("decision")
    steps = []
    for scale in sorted(chosen.scales):
        step = at(scale, decision)
        steps.append(step | {"is_right": is_right(step)})
        print(
            f"scale {scale:6g}  {step['rows']:12,} rows wait  {'as the threshold says' if is_right(step) else 'WRONG'}: {step['reason']}",
            flush=True,
        )
    save({"machine": machine(), "steps": steps}, RESULTS / "volume_sweep.json")
    return 0 if all(step["is_right"] for step in steps) else 1


if __name__ == "__main__":
    sys.exit(main())
