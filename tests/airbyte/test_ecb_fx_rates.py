"""Where the ECB's rates are read from, and what is said when they are not there."""

from __future__ import annotations

import datetime
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from airbyte.loaders import ecb_fx_rates

CSV = "Date,USD,JPY,\n2026-11-26,1.1614,181.55,\n2026-11-25,1.1600,N/A,\n"
RATES = [
    (datetime.date(2026, 11, 26), "USD", Decimal("1.1614")),
    (datetime.date(2026, 11, 26), "JPY", Decimal("181.55")),
    (datetime.date(2026, 11, 25), "USD", Decimal("1.1600")),
]


def zipped(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("eurofxref-hist.csv", text)
    return content.getvalue()


@pytest.fixture
def address() -> Iterator[str]:
    """A server with the ECB's file at /rates.zip, a page at /page and nothing else."""
    pages = {"/rates.zip": zipped(CSV), "/page": b"<html>moved</html>"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_rates_are_those_of_an_address_of_a_file_or_of_the_package(address: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.zip"
    path.write_bytes(zipped(CSV))
    assert list(ecb_fx_rates.published(f"{address}/rates.zip")) == RATES
    assert list(ecb_fx_rates.published(str(path))) == RATES
    assert len(list(ecb_fx_rates.published())) > 200_000


def test_blank_lines_are_no_days() -> None:
    assert list(ecb_fx_rates.parse(CSV.replace("\n", "\n\n") + "  \r\n")) == RATES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line names no currency"),
        ("\n", "the first line names no currency"),
        ("<html>moved</html>\n", "the first line names no currency"),
        *(
            (f"Date,USD,JPY\n2026-11-26,1.1614,{cell}\n", f"the rate of JPY on 2026-11-26 is {cell!r}, not a positive number")
            for cell in ("-1", "0", "-", "abc", "NaN", "sNaN", "Infinity")
        ),
        ("Date,USD\n\n26.11.2026,1.1614\n", "line 3 begins with '26.11.2026', not with a day"),
        ("Date,USD\n2026-11-26," + "1" * 200_000, "line 2: field larger than field limit"),
    ],
)  # fmt: skip
def test_what_is_not_the_ecbs_csv_is_refused_by_line_or_rate(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        list(ecb_fx_rates.parse(text))


def test_what_is_not_there_or_not_the_file_is_an_error_with_its_address(address: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"404 .*/nothing"):
        list(ecb_fx_rates.published(f"{address}/nothing"))
    with pytest.raises(ValueError, match=r"/page is no zip file: ECB_RATES is the ECB's"):
        list(ecb_fx_rates.published(f"{address}/page"))
    path = tmp_path / "rates.zip"
    with pytest.raises(FileNotFoundError, match=r"rates\.zip"):
        list(ecb_fx_rates.published(str(path)))
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(ValueError, match=r"rates\.zip holds no file: ECB_RATES is the ECB's"):
        list(ecb_fx_rates.published(str(path)))
