"""`python -m airbyte.erasure`: forget who a person is, in raw, when they ask for it. Keys, amounts and dates stay: the books need them.

`request USER_ID` notes the request in `ops.erasure_requests`; `run`, which the maintenance DAG calls, empties the person's columns in every raw row of
theirs, deleted ones included, and goes on doing so for as long as the source sends them again: it says so then, because it is there that they have to go.
Everything after raw is made of it: a row that was emptied counts as changed, so the next run carries it on, to `quarantine` and to a lake that mirrors raw; no
mart has such a column.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import uuid
from dataclasses import dataclass

from google.api_core.exceptions import NotFound

from airbyte.deletion_sweep import LIVE, SweepError, ensure_deleted_at
from stack import bigquery, settings
from stack.failures import FINAL, one_line
from stack.settings import Settings

TABLE = "ops.erasure_requests"
# Keys of those who asked, and whose they are. An order keeps its buyer when it is emptied or deleted: no table has to go before another.
PEOPLE = f"select user_id, user_id as key from {TABLE}"
ORDERS = (
    f"select distinct buyer_id as user_id, id as key from raw.orders where buyer_id in (select user_id from {TABLE})"
)


@dataclass(frozen=True)
class Personal:
    """What a raw table knows of a person: whose a row is, by which column, and which columns are about them."""

    table: str
    column: str
    columns: tuple[str, ...]
    # What `column` is a key of, and which rows have such a one there.
    owners: str = PEOPLE
    rows: str = "true"


PERSONAL = (
    Personal("users", "id", ("email", "username", "first_name", "last_name")),
    Personal("orders", "buyer_id", ("shipping_city", "shipping_postal_code")),
    Personal("reviews", "reviewer_id", ("title", "body")),
    Personal("event_log", "entity_id", ("event_data",)),
    Personal("event_log", "entity_id", ("event_data",), ORDERS, "entity_type = 'order'"),
)


class ErasureError(RuntimeError):
    """The request cannot be taken; the message says why and what to do."""


def request(current: Settings, user_id: str, reason: str) -> None:
    """Note the request; noting it again changes nothing. Raises ErasureError when raw knows no such user."""
    bq = bigquery.client(current)
    try:
        user = str(uuid.UUID(user_id))
    except ValueError:
        raise ErasureError(f"{user_id!r} is no user id: give the key of users, a UUID") from None
    try:
        known = bigquery.query(bq, "select count(*) as n from raw.users where id = @user", {"user": user})[0]["n"]
    except NotFound:
        known = 0
    if not known:
        raise ErasureError(
            f"raw.users has no {user}: look the id up in the source (`select id from users where email = …`)"
        )
    bigquery.query(
        bq,
        f"create table if not exists {TABLE} (user_id string, requested_at timestamp, reason string, erased_at timestamp,"
        " erased_rows int64)",
    )
    bigquery.query(
        bq,
        f"merge into {TABLE} as t using (select @user as user_id, @now as requested_at, @reason as reason) as s"
        " on t.user_id = s.user_id when not matched then"
        " insert (user_id, requested_at, reason, erased_rows) values (s.user_id, s.requested_at, s.reason, 0)",
        {"user": user, "now": datetime.datetime.now(datetime.UTC), "reason": reason},
    )


def run(current: Settings) -> tuple[int, int, int]:
    """Empty what is asked for. Returns the requests, the rows emptied now, and the people of whom the source sent something again.

    Raises SweepError when a raw table has never landed.
    """
    bq = bigquery.client(current)
    try:
        asked = bigquery.query(bq, f"select user_id, erased_at from {TABLE} order by requested_at, user_id")
    except NotFound:
        return 0, 0, 0
    if not asked:
        return 0, 0, 0
    ensure_deleted_at(bq)
    now = datetime.datetime.now(datetime.UTC)
    # A changed row for whoever reads what is new; a deleted one stays deleted. Older versions of a key stay older than its newest.
    moment = "greatest(@now, _airbyte_extracted_at)"
    emptied: dict[str, int] = {}
    for of in PERSONAL:
        is_full = f"{of.rows} and ({' or '.join(f'{c} is not null' for c in of.columns)})"
        found = bigquery.query(
            bq,
            f"select owner.user_id, count(*) as n from raw.{of.table} join ({of.owners}) as owner on {of.column} = owner.key"
            f" where {is_full} group by 1",
        )
        if not found:
            continue
        for row in found:
            emptied[row["user_id"]] = emptied.get(row["user_id"], 0) + row["n"]
        bigquery.query(
            bq,
            f"update raw.{of.table} set {', '.join(f'{c} = null' for c in of.columns)},"
            f" _deleted_at = if({LIVE} or _airbyte_extracted_at < newest_at, _deleted_at, {moment}),"
            f" _airbyte_extracted_at = if(_airbyte_extracted_at < newest_at, _airbyte_extracted_at, {moment})"
            f" from (select id as newest_of, max(_airbyte_extracted_at) as newest_at from raw.{of.table} group by 1) as newest"
            f" where id = newest_of and {of.column} in (select key from ({of.owners})) and {is_full}",
            {"now": now},
        )
    for asking in asked:
        rows = emptied.get(asking["user_id"], 0)
        # One of whom nothing is there is handled, too: a run that died before this emptied it, or there never was anything.
        if rows or asking["erased_at"] is None:
            bigquery.query(
                bq,
                f"update {TABLE} set erased_at = @now, erased_rows = erased_rows + @rows where user_id = @user",
                {"now": now, "rows": rows, "user": asking["user_id"]},
            )
    again = sum(row["erased_at"] is not None and row["user_id"] in emptied for row in asked)
    return len(asked), sum(emptied.values()), again


def main() -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    parser = argparse.ArgumentParser(prog="python -m airbyte.erasure", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    asking = steps.add_parser("request", help="note that a person asks to be forgotten")
    asking.add_argument("user_id", help="the key of the source's table users")
    asking.add_argument("--reason", default="", help="for example the number of the letter")
    steps.add_parser("run", help="empty what is noted")
    arguments = parser.parse_args()
    current = settings.for_command()
    try:
        if arguments.step == "request":
            request(current, arguments.user_id, arguments.reason)
            print(json.dumps({"rows": 1, "reason": f"noted in {TABLE}"}))
            return 0
        requests, rows, again = run(current)
    except (ErasureError, SweepError, *bigquery.ERRORS) as error:
        print(f"error: erasure stopped: {one_line(error)}", file=sys.stderr)
        return FINAL if isinstance(error, ErasureError | SweepError) else 1
    reason = f"{requests:,} people asked to be forgotten, {rows:,} rows emptied"
    if again:
        reason += f"; the source still has data of {again:,} of them: erase it there"
    print(json.dumps({"rows": rows, "reason": reason}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
