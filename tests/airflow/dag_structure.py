"""Print the DAGs as JSON: run by test_dag.py under Airflow's own environment."""

import json
import sys
import time

from airflow.dag_processing.dagbag import DagBag

# As the DAG processor does for the folder of a bundle.
sys.path.insert(0, sys.argv[1])
started = time.monotonic()
bag = DagBag(sys.argv[1])
structure = {
    dag.dag_id: {
        "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
        "triggers": {
            task.task_id: task.trigger_rule.value for task in dag.tasks if task.trigger_rule.value != "all_success"
        },
        "params": sorted(dag.params),
        "doc": bool(dag.doc_md),
        "unnotified": [t.task_id for t in dag.tasks if not t.on_failure_callback or not t.on_success_callback],
    }
    for dag in bag.dags.values()
}
print(json.dumps({"errors": bag.import_errors, "dags": structure, "seconds": time.monotonic() - started}))
