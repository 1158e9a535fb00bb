"""Print what the emulator's tables and this project's memory say of the same records, as JSON: run by test_emulator_app.py under the emulator's environment."""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
from local_bigquery.catalog import metadata, row_access  # noqa: E402
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.jobs import runner, store  # noqa: E402
from local_bigquery.models import Dataset, JobConfiguration, RowAccessPolicy, Table  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

from stack.bigquery_emulator import records as our_records  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "p", "raw"
stored, stored_secured, stored_job, stored_jobs = metadata.list_, row_access.secured, store.load, store.list_
save_job = store.save
written_before = metadata.save(Dataset(friendlyName="before"), "p", "before")
our_records.replace()
our_records.JOBS_IN_MEMORY = 5
KEYS = {
    Dataset: [("p", d) for d in ("a", "b", "before")],
    Table: [("p", d, t) for d in ("a", "b") for t in ("x", "y", "it's")],
    RowAccessPolicy: [("p", "a", t, n) for t in ("x", "y") for n in ("first", "second")],
}
answers = []


def compare(what):
    """Each record by its whole key, and all that begin with a part of it."""
    for model, keys in KEYS.items():
        for key in {whole[:length] for whole in keys for length in range(1, len(whole) + 1)}:
            of_both = [
                sorted(json.dumps(r.dump(), sort_keys=True) for r in look_up(model, *key))
                for look_up in (stored, metadata.list_)
            ]
            answers.append([what, [model.__name__, *key], *of_both])
    answers.append([what, "secured", sorted(stored_secured()), sorted(row_access.secured())])


def act(chance):
    """Save or delete one record, or all that begin with a part of its key."""
    model = chance.choice(list(KEYS))
    key = chance.choice(KEYS[model])
    if chance.random() < 0.6:
        metadata.save(model.model_validate({"description": f"no. {chance.random()}", "labels": {"né": "1"}}), *key)
    else:
        metadata.delete(model, *key[: chance.randint(1, len(key))])
    # Others may be deleting it just now.
    metadata.load(model, *key)


chance = random.Random(7)
compare("written before")
for number in range(60):
    act(chance)
    if number % 6 == 0:
        compare(number)
    # Who got a record may change it.
    for found in metadata.list_(Table, "p"):
        found.description = "changed by its reader"
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda seed: [act(random.Random(seed * 100 + n)) for n in range(25)], range(8)))
compare("at once")


def states(jobs):
    return sorted([job.jobReference.jobId, job.status.state] for job in jobs)


made = [runner._job("p", f"job {number}", JobConfiguration(query={"query": "SELECT 1"})) for number in range(8)]
for number, job in enumerate(made):
    store.save(job)
    answers.append(
        [number, "pending", states([stored_job("p", f"job {number}")]), states([store.load("p", f"job {number}")])]
    )
    store.save(job.replace(status={"state": "RUNNING"}))
    answers.append([number, "running", [[f"job {number}", "RUNNING"]], states(store.list_("p", ["RUNNING"]))])
    answers.append([number, "not pending", [], states(store.list_("p", ["PENDING"]))])
    if number != 3:
        store.save(job.replace(status={"state": "DONE"}))
        answers.append([number, "done", states([stored_job("p", f"job {number}")]), [[f"job {number}", "DONE"]]])
    else:
        store.delete("p", "job 3")
        answers.append([number, "deleted", None, store.load("p", "job 3")])
# One that is not in memory any more, saved once more; and each line as a whole.
store.save(made[0].replace(status={"state": "DONE", "errorResult": {"reason": "again"}}))
answers.append([0, "saved again", "again", stored_job("p", "job 0").status.errorResult.reason])
LINES = "SELECT project_id, job_id, parent_job_id, state, creation_time, resource FROM emulator.jobs ORDER BY job_id"
lines = database.fetch(LINES)
for job_id in [line[1] for line in lines]:
    save_job(store.load("p", job_id))
answers.append(["all", "lines", [list(line) for line in database.fetch(LINES)], [list(line) for line in lines]])
answers.append(["all", "done", states(stored_jobs("p", ["DONE"])), states(store.list_("p", ["DONE"]))])
answers.append(["all", "any", states(stored_jobs("p")), states(store.list_("p"))])
answers += [
    [
        job.id,
        "loaded",
        states([stored_job("p", job.jobReference.jobId)]),
        states([store.load("p", job.jobReference.jobId)]),
    ]
    for job in made
    if job is not made[3]
]
print(json.dumps(answers))
