"""Print, as JSON, which packages the DAG files import that no worker knows by then: run by test_executor.py under Airflow's own environment."""

import importlib
import json
import sys
from pathlib import Path

from stack.executor import PACKAGES

dags = Path(sys.argv[1])
sys.path.insert(0, str(dags))
for package in PACKAGES:
    importlib.import_module(package)
known = set(sys.modules)
for file in dags.glob("*.py"):
    importlib.import_module(file.stem)
print(json.dumps(sorted(set(sys.modules) - known)))
