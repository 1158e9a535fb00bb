"""Print the DAGs as JSON: run by test_dag.py under Airflow's own environment."""

import json
import sys
import time
from pathlib import Path
from unittest import mock

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.timetables.assets import AssetTriggeredTimetable
from airflow.timetables import trigger
from airflow.timetables.base import TimeRestriction
from airflow.utils.file import list_py_file_paths

# As the DAG processor does for the folder of a bundle.
sys.path.insert(0, sys.argv[1])
started = time.monotonic()
bag = DagBag(sys.argv[1])
HALF_PAST_THREE = pendulum.datetime(2026, 3, 1, 3, 30)


def first_run(dag: object) -> str | None:
    """When the schedule starts a DAG that is unpaused at 03:30 for the first time."""
    with mock.patch.object(trigger, "utcnow", lambda: HALF_PAST_THREE):
        info = dag.timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(None, None, dag.catchup)
        )
    return info and info.run_after.isoformat()


structure = {
    dag.dag_id: {
        "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
        "triggers": {
            task.task_id: task.trigger_rule.value for task in dag.tasks if task.trigger_rule.value != "all_success"
        },
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets},
        "assets": sorted(asset.name for asset in dag.timetable.asset_condition.objects)
        if isinstance(dag.timetable, AssetTriggeredTimetable)
        else [],
        "params": sorted(dag.params),
        "first_run": None if isinstance(dag.timetable, AssetTriggeredTimetable) else first_run(dag),
        "doc": bool(dag.doc_md),
        "on_loopback": sorted(
            task.task_id for task in dag.tasks if "SPARK_LOCAL_IP" in (getattr(task, "env_vars", 0) or {})
        ),
        "unnotified": [t.task_id for t in dag.tasks if not t.on_failure_callback or not t.on_success_callback],
    }
    for dag in bag.dags.values()
}
seconds = time.monotonic() - started
# What the DAG processor parses, again and again, as it may hold a DAG.
files = sorted(str(Path(path).relative_to(sys.argv[1])) for path in list_py_file_paths(sys.argv[1]))
print(json.dumps({"errors": bag.import_errors, "dags": structure, "files": files, "seconds": seconds}))
