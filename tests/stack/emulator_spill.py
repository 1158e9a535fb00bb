"""Print where, and whether, a query larger than the memory was spilled, as JSON: run by test_emulator_app.py under the emulator's environment."""

import json
import sys
from pathlib import Path

from stack.bigquery_emulator.app import bound_memory, import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "a-project", "raw"
spill = folder / "spill"
spill.mkdir()
remains = spill / "duckdb_temp_storage.tmp"
remains.touch()
bound_memory(spill, "100MB")
current = database.fetch("SELECT current_setting('temp_directory'), current_setting('memory_limit')")[0]
with database.cursor() as cursor:
    # A table that does not fit either: its files stay as long as it does.
    cursor.execute(
        "CREATE TEMP TABLE sorted AS SELECT range AS id, hash(range) AS key FROM range(5000000) ORDER BY key"
    )
    rows = cursor.execute("SELECT count(*) FROM sorted").fetchone()[0]
    spilled = any(spill.iterdir())
print(json.dumps({"settings": list(current), "rows": rows, "spilled": spilled, "remains": remains.exists()}))
