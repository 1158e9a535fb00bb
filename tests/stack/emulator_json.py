"""Print what PARSE_JSON makes of texts by the emulator's own macro and by this project's: run by test_emulator_app.py under the emulator's environment."""

import json
import sys
from pathlib import Path

from stack.bigquery_emulator.app import PARSE_JSON, import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
import duckdb  # noqa: E402
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "p", "raw"
TEXTS = (
    *(
        "{}",
        "[]",
        '{"a": [1, {"b": null}], "c": "\\u00e9"}',
        ' \t\n{"a" : 1.50}',
        "[12345678901234567890.5]",
        '"1.5"',
        "true",
        " null ",
        "nul",
    ),
    *(
        "1",
        "-1",
        "0.1",
        "1.10",
        " 12345678901234567890",
        "\n-0.12345678901234567890",
        "1e400",
        "18446744073709551616",
        "-9223372036854775809",
        "9223372036854775807",
    ),
    *("", " ", "{", "[1,]", "01", "+1", "1 2", ".5", "NaN", "-Infinity", "\u00a01.5", None),
)


def found():
    """What each text becomes, by mode."""
    answers = []
    for text in TEXTS:
        for arguments in ("?", "?, 'round'", "?, 'ROUND'", "?, 'exact'", "?, 'none'"):
            try:
                answers.append(database.fetch(f"SELECT CAST(bq.main.parse_json({arguments}) AS VARCHAR)", [text])[0][0])
            except duckdb.Error as error:
                answers.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return answers


own = found()
database.execute(PARSE_JSON)
print(json.dumps([own, found()]))
