"""Print what each MERGE does by the emulator's own function and by this project's, as JSON: run by test_emulator_app.py under the emulator's environment."""

import json
import sys
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
from local_bigquery.catalog import tables  # noqa: E402
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.errors import BigQueryError  # noqa: E402
from local_bigquery.jobs import merge, query  # noqa: E402
from local_bigquery.models import JobConfigurationQuery, Table  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

from stack.bigquery_emulator import merge as our_merge  # noqa: E402
from stack.bigquery_emulator import temporary as our_temporary  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "p", "raw"
TARGET = "create or replace table raw.a as select i as id, concat('v', cast(i as string)) as v, json '{\"k\": 1}' as j from unnest([1, 2, 3, 4, 5, null]) as i"
SOURCES = (
    "create table raw.b as select i as id, concat('w', cast(i as string)) as v, '{\"k\": 2}' as j from unnest([4, 5, 6, 7, null]) as i",
    "create table raw.doubled as select i as id, cast(o as string) as v, '{}' as j from unnest([4, 9, 9]) as i with offset as o",
    "create table raw.doubled_new as select i as id, cast(o as string) as v, '{}' as j from unnest([9, 9]) as i with offset as o",
)
INTO, BY_ID = "merge into raw.a as t using {} as s on", "t.id = s.id"
INSERT = "when not matched then insert (id, v, j) values (s.id, s.v, parse_json(s.j))"
UPDATE = "when matched then update set v = s.v, j = parse_json(s.j)"
MOVED = "when not matched then insert (id, v) values (s.id, s.v)"
CHOSEN = "(select id, v, j from raw.doubled qualify row_number() over (partition by {} order by v) = {})"
# The emulator's own function fails on it; there is nothing here to round.
MODE = ", wide_number_mode => 'round'"
MERGES = {
    "update and insert": f"{INTO.format('raw.b')} {BY_ID} {UPDATE} {INSERT}",
    "a question as the source": f"{INTO.format('(select * from `p.raw.b` where id > 4)')} {BY_ID} {UPDATE} {INSERT}",
    "other names": "merge `p.raw.a` `x` using `p.raw.b` as `y` on ((`y`.`id` = `x`.`id`)) when matched then update set `v` = `y`.`v` "
    "when not matched then insert (`id`, `v`) values (`id`, `v`)",
    "no names": "merge raw.a using raw.b on a.id = b.id when matched then update set v = b.v when not matched then insert (id) values (b.id)",
    "overwrite": f"{INTO.format('raw.b')} false when not matched by source then delete {INSERT}",
    "delete and insert": f"{INTO.format('raw.b')} {BY_ID} when matched and s.id = 4 then delete {INSERT}",
    "two keys": f"{INTO.format('raw.b')} ({BY_ID} and s.v = t.v) {UPDATE} {INSERT}",
    "insert what meets a condition": f"{INTO.format('raw.b')} {BY_ID} {INSERT.replace('matched', 'matched and s.id > 6')}",
    "delete or update": f"{INTO.format('raw.b')} {BY_ID} when matched and s.id = 4 then delete {UPDATE} {INSERT}",
    "a condition of another kind": f"{INTO.format('raw.b')} {BY_ID} and t.id > 4 {UPDATE} {INSERT}",
    "an inequality": f"{INTO.format("(select 4 as id, 'x' as v, '{}' as j)")} t.id > s.id {UPDATE} {INSERT}",
    "the rest of the target": f"{INTO.format('raw.b')} {BY_ID} {UPDATE} when not matched by source then update set v = 'none'",
    "a whole row": "merge into raw.a as t using (select 9 as id, 'n' as v, json '[]' as j) as s on t.id = s.id when not matched then insert row",
    "a key twice": f"{INTO.format('raw.doubled')} {BY_ID} {UPDATE} {INSERT}",
    "a new key twice": f"{INTO.format('raw.doubled_new')} {BY_ID} {UPDATE} {INSERT}",
    "two matches of a key": f"{INTO.format('(select 4 as id, v, j from raw.b)')} {BY_ID} {UPDATE} {INSERT}",
    "a named argument": f"{INTO.format('raw.b')} {BY_ID} {UPDATE} {INSERT}".replace("(s.j)", f"(s.j{MODE})"),
    "a named argument and a key twice": f"{INTO.format('raw.doubled')} {BY_ID} {UPDATE} {INSERT}".replace(
        "(s.j)", f"(s.j{MODE})"
    ),
    "one of each key": f"{INTO.format(CHOSEN.format('id', 1))} {BY_ID} {UPDATE} {INSERT}",
    "one of all": f"{INTO.format(CHOSEN.format("'x'", 1))} {BY_ID} {UPDATE} {INSERT}",
    "one of each value": f"{INTO.format(CHOSEN.format('v', 1))} {BY_ID} {UPDATE} {INSERT}",
    "one of each row": f"{INTO.format(CHOSEN.format('id, v', 1))} {BY_ID} {UPDATE} {INSERT}",
    "the second of each key": f"{INTO.format(CHOSEN.format('id', 2))} {BY_ID} {UPDATE} {INSERT}",
    "a key made of what is chosen by": f"{INTO.format(CHOSEN.format('id', 1).replace('select id', 'select mod(id, 5) as id'))} {BY_ID} {UPDATE} {INSERT}",
    "one of each key, with a parameter": f"{INTO.format(CHOSEN.format('id', 1).replace('v, j', '@v as v, j'))} {BY_ID} {UPDATE} {INSERT}",
    "columns only": f"{INTO.format('raw.b')} {BY_ID} when matched then update set v = s.v {MOVED}",
    "columns only, overwrite": f"{INTO.format('raw.b')} false when not matched by source then delete {MOVED}",
    "columns only, by two keys": f"{INTO.format('`p`.raw.b')} ({BY_ID} and s.v = t.v) when matched then update set v = s.j {MOVED}",
    "columns of another type": f"{INTO.format('raw.b')} {BY_ID} when matched then update set id = s.v {MOVED}",
    "no such table": f"{INTO.format('raw.b').replace('raw.a', 'raw.none')} {BY_ID} {MOVED}",
    "an error": f"{INTO.format('raw.b')} {BY_ID} when matched then update set v = cast(error('no') as string)",
    "no such column": f"{INTO.format('raw.b')} {BY_ID} when matched then update set nothing = s.v",
}
# The same with sources that expire, which are not in the lake.
for name, text in list(MERGES.items()):
    for plain, own in {"raw.b": "raw.own_b", "= b.": "= own_b.", "raw.doubled": "raw.own_doubled"}.items():
        text = text.replace(plain, own)
    MERGES[f"{name} (expires)"] = text
FIELDS = [{"name": "id", "type": "INTEGER"}, {"name": "v", "type": "STRING"}, {"name": "j", "type": "STRING"}]
PARAMETER = {"name": "v", "parameterType": {"type": "STRING"}, "parameterValue": {"value": "given"}}


def execute(text):
    """Run a statement as a job does. Returns the number of rows that it has touched."""
    config = JobConfigurationQuery.model_validate({"query": text, "queryParameters": [PARAMETER]})
    with database.cursor() as cursor:
        statistics, *_ = query.execute(cursor, "p", None, config)
    return statistics.numDmlAffectedRows


def outcome(text):
    """What a MERGE says, and the table after it."""
    execute(TARGET)
    try:
        said = execute(text)
    except BigQueryError as error:
        said = f"{error.reason}: {error}"
    return [said, sorted(map(str, database.fetch("SELECT id, v, j::VARCHAR FROM p.raw.a")))]


for statement in SOURCES:
    execute(statement)
our_temporary.replace()
for name in ("b", "doubled", "doubled_new"):
    reference = {"projectId": "p", "datasetId": "raw", "tableId": f"own_{name}"}
    body = {"tableReference": reference, "schema": {"fields": FIELDS}, "expirationTime": "9999999999999"}
    tables.create("p", "raw", Table.model_validate(body), None)
    execute(f"insert into raw.own_{name} select * from raw.{name}")
own, apart, copied, asked, moved = merge.run, [], [], [], []
repeats = our_merge._repeats
our_merge._taken_apart = lambda *arguments: apart.append(1) or own(*arguments)
# Asked of every source with a key that is copied.
our_merge._repeats = lambda *arguments: copied.append(1) or repeats(*arguments)
translate, translated = our_merge.translate, our_merge._translated
our_merge.translate = lambda *arguments: asked.append(1) or translate(*arguments)


def of_columns_only(tree, context):
    """As merge.py's; what it has translated by itself is translated by the emulator, too."""
    expected = translate(tree.copy(), context)
    asked.clear()
    found = translated(tree, context)
    moved.extend([] if asked else [[expected, found]])
    return found


our_merge._translated = of_columns_only
answers = {}
for name, text in MERGES.items():
    merge.run = own
    expected = outcome(text.replace(MODE, ""))
    merge.run = our_merge.run
    apart.clear()
    copied.clear()
    moved.clear()
    found = outcome(text)
    answers[name] = {
        "expected": expected,
        "found": found,
        "taken_apart": bool(apart),
        "copied": bool(copied),
        "moved": moved[:],
    }
print(json.dumps(answers))
