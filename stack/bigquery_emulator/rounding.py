"""Products of NUMERIC rounded to whole numbers, as cents are. Runs in the emulator's own environment.

DuckDB rounds a number of 38 digits by a division of 128 bits: over a microsecond, where multiplying takes a thirtieth of that. Here the product of the same
factors as floating-point numbers says near which whole number the exact product lies, and a subtraction of exact numbers to which one it goes.
"""

from __future__ import annotations

from functools import reduce

from local_bigquery.sql.dialect import macro
from local_bigquery.sql.rules.typing import kind
from local_bigquery.sql.translate import Context
from sqlglot import exp

# Below 32 bits `near` is no further from `exact` than a thousandth, so the whole number sought is the one below `near`, taken a thousandth early, or the next:
# the exact difference says which. A half goes away from zero, so up or down. Above 32 bits, and where a factor is null, DuckDB's own rounding is asked: by
# `coalesce`, for these rows alone.
MACROS = (
    "CREATE OR REPLACE MACRO bq.main._whole_below(near) AS TRY_CAST(floor(near + 0.499) AS INTEGER)",
    """
    CREATE OR REPLACE MACRO bq.main._round_product(exact, near) AS coalesce(
        CAST(
            CAST(bq.main._whole_below(near) AS BIGINT) + CAST(
                CASE
                    WHEN near < 0 THEN exact - bq.main._whole_below(near) > 0.5 ELSE exact - bq.main._whole_below(near) >= 0.5
                END AS TINYINT
            ) AS DECIMAL(38, 0)
        ),
        round(exact, 0)
    )
    """,
)
EXACT = {exp.DataType.Type.DECIMAL, *exp.DataType.INTEGER_TYPES}
# The product of more than two may have more digits after the point than leave room for 32 bits before it.
MOST_NUMERICS = 2


def round_product(node: exp.Expression, context: Context) -> exp.Expression:
    """A rule of translation: `round(a * b)` and `round(a * b, 0)` of NUMERIC by the macro; anything else as it is."""
    if not isinstance(node, exp.Round) or any(node.args.get(name) for name in node.args.keys() - {"this", "decimals"}):
        return node
    decimals, product = node.args.get("decimals"), node.this.unnest()
    if not isinstance(product, exp.Mul) or not (decimals is None or decimals == exp.Literal.number(0)):
        return node
    kinds = [kind(factor) for factor in _factors(product)]
    numerics = kinds.count(exp.DataType.Type.DECIMAL)
    if not EXACT.issuperset(kinds) or not 0 < numerics <= MOST_NUMERICS:
        return node
    factors: list[exp.Expression] = [exp.cast(factor.copy(), "DOUBLE") for factor in _factors(product)]
    near = reduce(lambda left, right: exp.Mul(this=left, expression=right), factors)
    rounded: exp.Expression = macro("_round_product", product, near)
    return rounded


def _factors(node: exp.Expression) -> list[exp.Expression]:
    inner = node.unnest()
    return [*_factors(inner.this), *_factors(inner.expression)] if isinstance(inner, exp.Mul) else [node]
