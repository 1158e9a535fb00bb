"""Let the heavy operators fail for real and print what they say: run by test_fall_back.py under Airflow's own environment."""

import json
from typing import Any

from marketplace.operators import HeavyDbt, HeavySpark


class TaskInstance:
    """The part of one that the operators use."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


CASES = {
    "dbt works": HeavyDbt(task_id="a", bash_command="echo done"),
    "dbt is killed": HeavyDbt(task_id="b", bash_command="kill -9 $$"),
    "dbt's model is wrong": HeavyDbt(task_id="c", bash_command="exit 1"),
    "dbt's warehouse gives up": HeavyDbt(task_id="d", bash_command="exit 75"),
    # Less than Spark needs to start at all, which is quick to find out.
    "spark has too little memory": HeavySpark(task_id="e", driver_memory="300m", application_args=[]),
    "spark's application is not there": HeavySpark(task_id="f", application="/nowhere.py", application_args=[]),
}
outcomes = {}
for case, operator in CASES.items():
    instance, error = TaskInstance(), None
    try:
        operator.execute({"ti": instance})
    except Exception as raised:
        error = type(raised).__name__
    outcomes[case] = {"error": error, "verdict": instance.pushed.get("verdict")}
print(json.dumps(outcomes))
