"""Print which versions of tables the emulator's housekeeping leaves, as JSON: run by test_emulator_app.py under the emulator's environment.

With a second argument it is the process that is killed: it writes and forgets until then, and prints each row that is committed.
"""

import json
import sys
import threading
import time
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

from stack.bigquery_emulator import versions as our_versions  # noqa: E402
from stack.bigquery_emulator.versions import Past  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "a-project", "raw"
our_versions.replace()
T, SNAPSHOTS = '"a-project".raw.t', '"__ducklake_metadata_a-project".ducklake_snapshot'


def files():
    return len(list(settings.data_dir.rglob("*.parquet")))


def versions():
    return [version for (version,) in database.fetch(f"SELECT snapshot_id FROM {SNAPSHOTS} ORDER BY 1")]


def rebuild(n):
    database.execute(f"CREATE OR REPLACE TABLE {T} AS SELECT range AS id, {n} AS n FROM range(300000)")


def forgotten(past):
    """How many are forgotten in two rounds: the first one only notes."""
    return past.forget() + past.forget()


def kept_for_a_reader():
    """A table that is rebuilt twice while somebody reads it page by page."""
    past = Past(recent=0, week=0)
    rebuild(1)
    with database.cursor() as cursor:
        reader = cursor.sql(f"SELECT * FROM {T}").to_arrow_reader(1000)
        first = reader.read_next_batch().num_rows
        rebuild(2)
        rebuild(3)
        while_read = forgotten(past), files()
        rest = sum(batch.num_rows for batch in reader)
    del reader, cursor
    return {"rows": first + rest, "while read": while_read, "after": (forgotten(past) > 0, files(), len(versions()))}


def kept_by_time():
    """Versions that passed at once, and one that stood."""
    began = time.monotonic()
    rebuild(0)
    # So long that what is rebuilt at once is so on a busy machine, too.
    recent = max(0.3, 5 * (time.monotonic() - began))
    past = Past(recent)
    for n in range(3):
        rebuild(n)
    time.sleep(recent + 0.2)
    stood = versions()[-1]
    too_early = past.forget()
    rebuild(4)
    rebuild(5)
    time.sleep(recent + 0.2)
    due = past.forget(), past.forget()
    found = database.fetch(f"SELECT DISTINCT n FROM {T} AT (VERSION => {stood})")
    later = versions()
    time.sleep(recent + 0.2)
    again = past.forget()
    return {
        "too early": too_early,
        "due": [count > 0 for count in due],
        "stood": (stood in later, found),
        "recent": len(later),
        "again": again,
        "after a week": (forgotten(Past(recent=0, week=0)) > 0, len(versions())),
    }


def together(seconds):
    """Writers, readers and the housekeeping at once, for so long; then without the writers until something was forgotten: the errors that any of them met."""
    database.execute('CREATE TABLE "a-project".raw.pair AS SELECT 1 AS id, 100 AS n UNION ALL SELECT 2, 100')
    pair, past, told, began = '"a-project".raw.pair', Past(recent=0, week=0), [], time.monotonic()
    counts = {"forget": 0}

    def write():
        database.execute(f"UPDATE {pair} SET n = CASE id WHEN 1 THEN n - 1 ELSE n + 1 END")

    def make():
        database.execute('CREATE OR REPLACE TABLE "a-project".raw.made AS SELECT range AS n FROM range(1000)')

    def read():
        assert (found := database.fetch(f"SELECT sum(n), count(*) FROM {pair}")) == [(200, 2)], found

    def read_twice():
        with database.cursor() as cursor:
            cursor.execute("BEGIN")
            first = cursor.execute(f"SELECT min(n) FROM {pair}").fetchall()
            time.sleep(0.2)
            second = cursor.execute(f"SELECT min(n) FROM {pair}").fetchall()
            cursor.execute("COMMIT")
        assert first == second, (first, second)

    def forget():
        counts["forget"] += past.forget()

    def again(do):
        # On a busy machine the moment comes late in which no reader has begun before a note. Writers do not wait for it: one that always loses to the
        # quicker one (DuckLake commits anew what met another's commit, up to 100 times) would be such a reader.
        while (passed := time.monotonic() - began) < seconds or (
            do not in (write, make) and not counts["forget"] and passed < 20 * seconds
        ):
            try:
                do()
            except Exception as error:
                told.append(f"{do.__name__}: {error}")
            time.sleep(0.02)

    threads = [threading.Thread(target=again, args=(do,)) for do in (write, make, read, read_twice, forget)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    forgotten(past)
    return {"told": told, "forgot": counts["forget"] > 0, "left": len(versions())}


def write_until_killed():
    past = Past(recent=0, week=0)
    # What the process before this one left: its rows, and files that it was about to delete.
    print(json.dumps(database.fetch(f"SELECT coalesce(max(n), 0), count(*) FROM {T}")[0]), flush=True)
    (last,) = database.fetch(f"SELECT coalesce(max(n), 0) FROM {T}")[0]
    while True:
        last += 1
        database.execute(f"INSERT INTO {T} VALUES (0, {last})")
        print(last, flush=True)
        database.execute('CREATE OR REPLACE TABLE "a-project".raw.made AS SELECT range AS n FROM range(1000)')
        past.forget()


if len(sys.argv) > 2:
    database.execute(f"CREATE TABLE IF NOT EXISTS {T} (id BIGINT, n BIGINT)")
    write_until_killed()
print(json.dumps({"for a reader": kept_for_a_reader(), "by time": kept_by_time(), "together": together(float(4))}))
