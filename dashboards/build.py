"""`python -m dashboards.build`: the marts as a static site, one folder that any web server can serve.

The folder holds the page as it is in `dashboards/page`, ECharts as it was released, and one JSON file a view. Those are written beside the old
ones: `data` is a link, which leads to them at the end. So a page that is being read never sees half of a build, and a reader always finds one.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from dashboards import marts
from stack import bigquery, emulator, settings
from stack.failures import one_line
from stack.glossary import doc_blocks
from stack.processes import StackError
from stack.settings import Settings

HERE = Path(__file__).resolve().parent
PAGE = HERE / "page"
VENDOR = HERE / "vendor"
MARTS = (
    "dim_products",
    "dim_users",
    "fct_customer_cohorts",
    "fct_daily_sales",
    "fct_order_items",
    "fct_orders",
    "fct_payment_ageing",
    "fct_payment_reconciliation",
    "fct_seller_performance",
    "fct_seller_tier_progression",
)
# How the folders that `data` leads to, one a build, are named.
VERSION = "data-"
# The page's terms that the dbt project defines, each with how many sentences of its definition a reader of the page needs.
DEFINED = {
    "gmv_usd": 1,
    "sales_gmv_usd": 1,
    "net_gmv_usd": 2,
    "average_order_value_usd": 1,
    "average_rating": 1,
    "cohort_month": 1,
    "retention_rate": 1,
    "movement": 1,
    "ageing_bucket": 1,
    "reconciliation_status": 1,
    "quarantine_reason": 2,
}
# What is said about a column's values rather than about the term.
OF_THE_COLUMN = re.compile(r"\*\*|`|; null [^.]*|; given as [^.]*|, \d decimals")


def site_dir(current: Settings) -> Path:
    """Where the site goes unless told otherwise."""
    return current.local_dir / "dashboard"


def collect(current: Settings) -> dict[str, Any]:
    """Ask the marts for every view: {file name: its content}. Raises StackError, in one line, when there is nothing to ask."""
    if current.is_emulator and not emulator.is_healthy(current):
        raise StackError(f"the warehouse does not answer at {current.bigquery_endpoint}: `make up` starts it")
    try:
        bq = bigquery.client(current)
        datasets = {dataset.dataset_id for dataset in bq.list_datasets(retry=bigquery.RETRY)}
        tables = {table.table_id for table in bq.list_tables("marts")} if "marts" in datasets else set()
        if missing := [name for name in MARTS if name not in tables]:
            raise StackError(f"no marts to show yet: {', '.join(missing)} not found; `make demo` builds them")
        sales = marts.sales(bq)
        return {
            "sales": sales,
            "sellers": marts.sellers(bq),
            "tiers": marts.tiers(bq),
            "payments": marts.payments(bq),
            "cohorts": marts.cohorts(bq),
            "quality": marts.quality(bq, current),
            "about": {
                "built_at": datetime.datetime.now(datetime.UTC),
                "last_day": sales["last_day"],
                "project": current.bigquery_project,
                "warehouse": "the BigQuery emulator" if current.is_emulator else "BigQuery",
                "definitions": definitions(),
            },
        }
    except (*bigquery.ERRORS, requests.ConnectionError) as error:
        raise StackError(f"the warehouse could not be asked: {one_line(error)[:400]}") from error


def definitions() -> dict[str, str]:
    """What the page's terms mean, in the words of dbt's glossary and column descriptions. Raises KeyError when one is gone."""
    blocks = doc_blocks()
    return {
        name: " ".join(re.split(r"(?<=\.) (?=[A-Z])", OF_THE_COLUMN.sub("", blocks[name]))[:sentences])
        for name, sentences in DEFINED.items()
    }


def as_json(content: Any) -> str:
    """Compact JSON that is also safe inside HTML: no `<` as such. Raises TypeError on a value that has no exact form there."""
    text = json.dumps(content, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        raise TypeError(f"{value}: money goes out as cents or as text")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def write(site: Path, content: dict[str, Any]) -> None:
    """Write the whole site to the folder `site`, in place of what was there. Raises StackError when the folder holds something else."""
    site.mkdir(parents=True, exist_ok=True)
    with _only_one(site):
        current, link = site / "data", site / ".data"
        others = [path for path in site.iterdir() if not path.name.startswith((VERSION, link.name))]
        if others and not any(site.glob("data*/about.json")):
            raise StackError(f"{site} holds something else than a dashboard: name another folder, or empty it")
        fresh = site / f"{VERSION}{secrets.token_hex(4)}"
        fresh.mkdir()
        for name, view in content.items():
            (fresh / f"{name}.json").write_text(as_json(view), encoding="utf-8")
        _copy(VENDOR, site / "vendor")
        link.unlink(missing_ok=True)
        link.symlink_to(fresh.name)
        link.replace(current)
        _copy(PAGE, site)
        for path in site.glob(f"{VERSION}*"):
            if path != fresh:
                shutil.rmtree(path)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One program at a time; the others wait. A kill ends it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path) -> None:
    """Put each file of `source` into `target`, whole, in place of what was there; `index.html`, which asks for all others, last."""
    for path in sorted(source.rglob("*"), key=lambda path: path.name == "index.html"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            new = copy.with_name(f".{copy.name}.new")
            shutil.copy2(path, new)
            new.replace(copy)


def weight(site: Path) -> int:
    """Bytes of everything that a reader of all views loads: licence texts stay behind."""
    return sum(
        path.stat().st_size for path in site.rglob("*") if path.suffix in (".html", ".css", ".js", ".mjs", ".json")
    )


def build(current: Settings, site: Path) -> None:
    """Ask, write, and say how much it is."""
    write(site, collect(current))
    print(f"dashboard: {site / 'index.html'} ({weight(site) / 1e6:.2f} MB)", flush=True)


def main() -> int:
    """Build the site; errors are one line on stderr and status 1."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder to write (default: dashboard in LOCAL_DIR)")
    arguments = parser.parse_args()
    try:
        current = settings.load()
        build(current, (arguments.out or site_dir(current)).resolve())
    except (StackError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
