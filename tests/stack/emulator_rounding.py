"""Print what rounded products come to by this project's rule and by the emulator's own translation, and which expressions the rule takes, as JSON: run by
test_emulator_app.py under the emulator's environment."""

import json
import random
import sys
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402
from local_bigquery.sql import translate  # noqa: E402

from stack.bigquery_emulator import rounding as our_rounding  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "p", "raw"
EDGES = [
    "0",
    "0.005",
    "0.015",
    "1",
    "21474836.47",
    "21474836.48",
    "9999999999.99",
    "999999999999999.99",
    "0.01",
    "7.77",
]
RATES = ["1", "0.5", "0.05", "1.000000001", "0.999999999", "0.000000001", "0.10", "0.333333333", "123.456789"]
# Whether the rule takes each.
EXPRESSIONS = {
    "round(a * r)": True,
    "round(a * r, 0)": True,
    "round((a * 100) * r, 0)": True,
    "round(a * i, 0)": True,
    "round(numeric '0.5' * i)": True,
    "round(a * (i * r), 0)": True,
    "round(a * f, 0)": False,
    "round(a * r, 2)": False,
    "round(a * r * a, 0)": False,
    "round(i * i, 0)": False,
    "round(a + r, 0)": False,
    "round(a, 0)": False,
    "round(a * r, 0, 'ROUND_HALF_EVEN')": False,
    "trunc(a * r, 0)": False,
}


def pairs():
    """Amounts and rates: edges, such as end on a half, and any."""
    chance = random.Random(1)
    found = [(sign + amount, rate) for amount in EDGES for rate in RATES for sign in ("", "-")]
    for _ in range(3_000):
        rate = Decimal(chance.randrange(1, 10**9)).scaleb(-chance.randrange(2, 10))
        cents = chance.choice((chance.randrange(10**4), chance.randrange(10**9), chance.randrange(10**12)))
        amount = Decimal(cents).scaleb(-2) * chance.choice((1, -1))
        found.append((f"{amount:f}", f"{rate:f}"))
        # Half a cent, and the least that there is beside it.
        half = (Decimal(chance.randrange(10**6)) + Decimal("0.5")).scaleb(-2)
        found += [(f"{half + step:f}", "1") for step in (0, Decimal("1e-9"), Decimal("-1e-9"))]
        found += [("0.01", f"{half * 100 + step:f}") for step in (0, Decimal("1e-9"), Decimal("-1e-9"))]
    return [*found, (None, "1"), ("1", None), (None, None)]


def translated(sql):
    """The statement in DuckDB's SQL."""
    (tree,) = translate.parse(sql)
    return translate.translate(tree, translate.Context("p", "raw"))[0].lower()


def rounded(amount, rate):
    """Python's."""
    with localcontext(prec=60):
        return (
            int((Decimal(amount) * 100 * Decimal(rate)).quantize(Decimal(1), ROUND_HALF_UP))
            if amount and rate
            else None
        )


PAIRS = pairs()
database.execute("CREATE SCHEMA IF NOT EXISTS p.raw")
database.execute("CREATE TABLE p.raw.t (n BIGINT, a DECIMAL(38,9), r DECIMAL(38,9), f DOUBLE, i BIGINT)")
columns = [list(range(len(PAIRS))), *(list(column) for column in zip(*PAIRS, strict=True))]
database.execute("INSERT INTO p.raw.t SELECT *, 1.5, 3 FROM (SELECT unnest(?), unnest(?), unnest(?))", columns)
# As the dbt macro `to_usd`: what comes through a `*` has no type to the emulator, but for a cast.
SQL = "with u as (select * from raw.t) select n, round(cast(u.a as numeric) * 100 * cast(u.r as numeric), 0) as x from u order by n"
own = translated(SQL)
translate.NODE_RULES.append(our_rounding.round_product)
for macro in our_rounding.MACROS:
    database.execute(macro)
ours = translated(SQL)
# Which the translation takes for NUMERIC, and the engine divides as floating-point numbers.
HALVES = "select " + ", ".join(f"round(safe_divide(numeric '{x}', numeric '2') * 1)" for x in (-5, 5, "-0.5", "-0.6"))
expected = [rounded(*pair) for pair in PAIRS]
found = [[int(x) if x is not None else None for _, x in database.fetch(sql)] for sql in (own, ours)]
taken = {text: "_round_product" in translated(f"select {text} as x from raw.t") for text in EXPRESSIONS}
types = [database.fetch(f"SELECT typeof(x) FROM ({sql}) LIMIT 1")[0][0] for sql in (own, ours)]
print(
    json.dumps(
        {
            "is ours": ["_round_product" in own, "_round_product" in ours],
            "values": len(PAIRS),
            "own differs": [pair for pair, a, b in zip(PAIRS, found[0], expected, strict=True) if a != b],
            "differs": [pair for pair, a, b in zip(PAIRS, found[1], expected, strict=True) if a != b],
            "types": types,
            "of quotients": [int(x) for x in database.fetch(translated(HALVES))[0]],
            "taken": [EXPRESSIONS, taken],
        }
    )
)
