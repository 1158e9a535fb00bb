"""What a deployment forgets: `ops.run_ledger` and `ops.parity_audit`, the logs of Airflow's tasks, and the lineage, each older than so many days.

`python -m stack.retention --keep-days 365`. The Airbyte server forgets its jobs by itself.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path

from stack import airflow, bigquery, ledger, lineage, settings
from stack.failures import one_line
from stack.settings import Settings


def prune_files(current: Settings, keep_days: int) -> int:
    """Delete the logs and the lineage that nobody has written to for `keep_days`. Returns the number of files that went; their empty folders go, too."""
    limit = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=keep_days)).timestamp()
    return sum(_prune(folder, limit) for folder in (airflow.logs(current), lineage.folder(current.local_dir)))


def _prune(folder: Path, limit: float) -> int:
    """The same for one folder, which itself stays."""
    gone, emptied = 0, set()
    for parent, folders, files in folder.walk(top_down=False):
        for path in (parent / name for name in files):
            if path.lstat().st_mtime < limit:
                path.unlink()
                gone += 1
                emptied.add(parent)
        # An empty one that is not of this run's making may be about to get its first file.
        for path in emptied.intersection(parent / name for name in folders):
            if not any(path.iterdir()):
                path.rmdir()
                emptied.add(parent)
    return gone


def main() -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    parser = argparse.ArgumentParser(prog="python -m stack.retention", description=__doc__)
    parser.add_argument("--keep-days", type=int, default=365, help="how long a run is remembered (default: 365)")
    arguments = parser.parse_args()
    if arguments.keep_days < 1:
        parser.error("--keep-days must be 1 or more")
    current = settings.for_command()
    try:
        entries = ledger.prune(current, arguments.keep_days)
        files = prune_files(current, arguments.keep_days)
    except (*bigquery.ERRORS, OSError) as error:
        print(f"error: not everything old could be forgotten: {one_line(error)}", file=sys.stderr)
        return 1
    reason = f"{entries:,} entries of the ledger and {files:,} files older than {arguments.keep_days} days are gone"
    print(json.dumps({"rows": entries, "reason": reason}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
