"""What needs no warehouse: the files of the site, their weight at 100x, the server, and what is said when something is missing."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dashboards import __main__ as serving_module
from dashboards import build, marts
from dashboards.__main__ import server
from stack import ledger
from stack import settings as stack_settings
from stack.processes import StackError, free_port
from stack.settings import ROOT, Settings

# dist/echarts.esm.min.mjs of the npm package echarts, version 6.1.0
ECHARTS = "28515f26aa57f87eb1e4ed4eb446927eaf329b5f5e02b4bfd4b0264fea40d1da"
VIEWS: dict[str, Any] = {name: {} for name in ("sales", "sellers", "tiers", "payments", "cohorts", "quality", "about")}


def test_echarts_is_the_released_file_with_its_licence() -> None:
    folder = build.VENDOR / "echarts"
    assert hashlib.sha256((folder / "echarts.esm.min.mjs").read_bytes()).hexdigest() == ECHARTS
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "Apache ECharts" in (folder / "NOTICE").read_text()


def test_the_page_names_no_other_origin_and_holds_no_inline_code() -> None:
    for path in build.PAGE.rglob("*"):
        if path.suffix in (".html", ".css", ".js"):
            assert "://" not in path.read_text(), path
    html = (build.PAGE / "index.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy and policy.group(1).startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
    )
    assert "unsafe" not in policy.group(1)
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", html)
    scripts = "".join(path.read_text() for path in (build.PAGE / "js").iterdir())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", scripts)


def test_amounts_are_exact_or_refused() -> None:
    assert marts.cents(Decimal("-1234567890.10")) == -123456789010
    assert marts.cents(None) is None
    with pytest.raises(ValueError, match=r"0\.005 is no whole number of cents"):
        marts.cents(Decimal("0.005"))
    assert [marts._money_text(Decimal(text)) for text in ("9028.010000000", "5", "1E+3", "0.125")] == [
        "9028.01",
        "5.00",
        "1000.00",
        "0.125",
    ]


def test_json_is_safe_in_html_and_knows_no_inexact_money() -> None:
    assert build.as_json({"a": "</script>\u2028"}) == '{"a":"\\u003c/script>\\u2028"}'
    with pytest.raises(TypeError, match="cents or as text"):
        build.as_json(Decimal("0.1"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        build.as_json(float("nan"))


def test_a_year_before_a_leap_day() -> None:
    assert marts._years_before(datetime.date(2028, 2, 29), 1) == datetime.date(2027, 2, 28)
    assert marts._years_before(datetime.date(2028, 2, 29), 0) == datetime.date(2028, 2, 29)


def test_a_hundred_times_the_business_weighs_at_most_two_megabytes(tmp_path: Path) -> None:
    """Every list as long as it may be and three years of months, with amounts of 100x."""
    regions = [f"Region number {n}" for n in range(6)]
    categories = [f"Category {n}" for n in range(7)]

    def series(length: int, gmv: int, orders: int) -> dict[str, Any]:
        values = {"gmv": [gmv] * length, "net": [gmv] * length, "orders": [orders] * length}
        return {
            "merchandise": [{"region": r, "category": c} | values for r in regions for c in categories],
            "orders": [{"region": r, "orders": [orders] * length, "valued": [orders] * length} for r in regions],
        }

    leaf = [categories[0], "Electronics > Vintage > Large > Rare", 10**9, 10**9, 99999, 99999]
    seller = ["01234567-89ab-cdef-0123-456789abcdef", "Americas", "platinum", "2026-01-01", 9999999999, 9999999999]
    seller += [99999, 999999, 4.55, 9999, 99, 99, False]
    run = {
        "run_id": "r" * 40,
        "why": "w" * 80,
        "steps": [{"step": "s" * 20, "reason": "r" * 250, "recorded_at": "t" * 20}] * 13,
    }
    content = VIEWS | {
        "sales": {
            "days": ["2026-01-01"] * marts.DAILY_DAYS,
            "daily": series(marts.DAILY_DAYS, 2_500_000, 999),
            "monthly": series(36, 75_000_000, 9_999),
            "categories": {
                p: {"columns": [], "rows": [[r, *leaf] for r in regions for _ in range(65)]} for p in "abcd"
            },
        },
        "sellers": {"rows": [seller] * marts.MAX_SELLERS},
        "cohorts": {
            "cohorts": [
                {"customers": [99999] * n, "orders": [99999] * n, "gmv": [10**9] * n, "retention": [0.1234] * n}
                for n in range(36)
            ]
        },
        "payments": {
            "work_list": [{"order_id": "o" * 36, "reason": "r" * 60, "open_amount": "d" * 60}] * marts.MAX_WORK_LIST
        },
        "quality": {"runs": [run] * marts.MAX_RUNS},
    }
    build.write(tmp_path / "site", content)
    assert build.weight(tmp_path / "site") <= 2_000_000


def test_a_new_build_takes_the_place_of_the_old_one_and_of_nothing_else(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build.write(site, VIEWS)
    (site / "data" / "gone.json").write_text("{}")
    build.write(site, VIEWS)
    assert not (site / "data" / "gone.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(StackError, match="holds something else than a dashboard"):
        build.write(tmp_path / "mine", VIEWS)
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_reader_finds_a_whole_page_while_others_build(tmp_path: Path) -> None:
    """Builders are programs; each writes its number into every view."""
    site = tmp_path / "site"
    build.write(site, {name: {"builder": 0} for name in VIEWS})
    code = (
        "import sys; from pathlib import Path; from dashboards import build\n"
        f"for _ in range(5): build.write(Path({str(site)!r}), dict.fromkeys({list(VIEWS)}, {{'builder': int(sys.argv[1])}}))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    builders = [subprocess.Popen([sys.executable, "-c", code, str(number)], env=env) for number in (1, 2, 3, 4)]
    reads = 0
    while any(builder.poll() is None for builder in builders):
        assert (site / "index.html").read_bytes() == (build.PAGE / "index.html").read_bytes()
        assert json.loads((site / "data" / "about.json").read_text())["builder"] in range(5)
        reads += 1
    assert reads
    assert [builder.returncode for builder in builders] == [0, 0, 0, 0]
    assert len({path.read_text() for path in (site / "data").iterdir()}) == 1
    assert [path.name for path in site.iterdir() if path.name.startswith((".", "data-"))] == [
        (site / "data").readlink().name
    ]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_build_that_is_killed_keeps_no_other_from_building(tmp_path: Path, is_first: bool) -> None:
    site = tmp_path / "site"
    if not is_first:
        build.write(site, VIEWS | {"about": {"builder": 1}})
    with pytest.raises(TypeError, match="no form in JSON"):
        build.write(site, VIEWS | {"about": {"builder": object()}})
    assert is_first or (site / "data" / "about.json").read_text() == '{"builder":1}'
    build.write(site, VIEWS | {"about": {"builder": 2}})
    assert (site / "data" / "about.json").read_text() == '{"builder":2}'
    assert len(list(site.glob("data-*"))) == 1


@pytest.mark.parametrize("call", range(4))
def test_a_first_build_that_is_killed_between_two_files_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = iter(range(100))

    class Killed(BaseException):
        pass

    def copy(source: Path, target: Path) -> None:
        if next(calls) == call:
            raise Killed
        shutil.copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("dashboards.build.shutil.copy2", copy)
        with pytest.raises(Killed):
            build.write(tmp_path / "site", VIEWS)
    build.write(tmp_path / "site", VIEWS)
    assert (tmp_path / "site" / "index.html").is_file()


def test_the_server_serves_the_folder_and_no_list_of_it(tmp_path: Path) -> None:
    build.write(tmp_path / "site", VIEWS)
    (tmp_path / "secret").touch()
    with server("127.0.0.1", 0, tmp_path / "site") as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}"
        with urllib.request.urlopen(f"{address}/vendor/echarts/echarts.esm.min.mjs") as answer:
            assert answer.headers["Content-Type"] == "text/javascript"
            assert answer.headers["Cache-Control"] == "no-cache"
        for path in ("data/", "../secret", "%2e%2e/secret"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}/{path}")
        serving.shutdown()


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def test_without_a_warehouse_one_line_says_how_to_start_it(tmp_path: Path) -> None:
    done = run(
        "dashboards.build", LOCAL_DIR=str(tmp_path), BIGQUERY_PORT=str(port := free_port()), BIGQUERY_ENDPOINT=""
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: the warehouse does not answer at http://127.0.0.1:{port}: `make up` starts it\n"
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_is_not_built_yet_says_so_and_nothing_else_is_there(tmp_path: Path) -> None:
    site = tmp_path / "site"
    with server("127.0.0.1", 0, site) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}"
        with urllib.request.urlopen(f"{address}/") as answer:
            assert answer.status == 200
            assert "No marts to show yet" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/data/about.json")
        build.write(site, VIEWS)
        with urllib.request.urlopen(f"{address}/") as answer:
            assert "No marts to show yet" not in answer.read().decode()
        serving.shutdown()


def test_following_builds_once_a_run_and_says_once_what_keeps_it_from_building(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its looks: nothing published; a run that cannot be shown, for two reasons, of one of which nobody has thought; then shown; the same run;
    the next one, but the warehouse is gone; it is back.
    """
    looks = iter([None, "run 1", "run 1", "run 1", "run 1", "run 2", "run 2"])
    outcomes = iter([StackError("no marts"), KeyError("a day"), None, OSError("gone"), None])
    built = []

    class Ended(BaseException):
        pass

    def look(_: Settings, step: str) -> str | None:
        try:
            return next(looks)
        except StopIteration:
            raise Ended from None

    def make(_: Settings, site: Path) -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        built.append(site)

    monkeypatch.setattr(ledger, "last_success", look)
    monkeypatch.setattr(serving_module, "LOOK_SECONDS", 0)
    monkeypatch.setattr(build, "build", make)
    with pytest.raises(Ended):
        serving_module.follow(stack_settings.load(), tmp_path)
    assert len(built) == 2
    assert capsys.readouterr().err == "not built: no marts\nnot built: KeyError('a day')\nnot built: gone\n"


def test_a_taken_port_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with server("127.0.0.1", 0, tmp_path) as taken:
        port = str(taken.server_address[1])
        done = run("dashboards", LOCAL_DIR=str(tmp_path), DASHBOARD_PORT=port)
    assert done.returncode == 1
    assert re.fullmatch(
        f"error: port {port}, which the dashboard needs, is in use by .*set DASHBOARD_PORT to a free port\n",
        done.stderr,
    )


@pytest.mark.parametrize(
    ("number", "before"),
    [(signal.SIGINT, signal.SIG_DFL), (signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_DFL)],
    ids=["Ctrl-C", "Ctrl-C in a shell's background job, which ignores it", "terminate"],
)
def test_ctrl_c_ends_the_server_without_a_word_too_many(
    tmp_path: Path, number: signal.Signals, before: signal.Handlers
) -> None:
    """The real program; only the question to the warehouse is left out, which other tests ask."""
    code = f"from dashboards import build, __main__; build.collect = lambda _: {VIEWS!r}; raise SystemExit(__main__.main())"
    env = os.environ | {"PYTHONPATH": str(ROOT), "LOCAL_DIR": str(tmp_path), "DASHBOARD_PORT": str(port := free_port())}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, before),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("dashboard: ")
    assert process.stdout.readline() == f"serving http://127.0.0.1:{port} until Ctrl-C\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert b"<title>Marketplace</title>" in answer.read()
    process.send_signal(number)
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, out, errors) == (0, "\nstopped\n", "")


def test_the_definitions_are_the_glossarys() -> None:
    found = build.definitions()
    assert found["net_gmv_usd"] == "Net GMV: GMV without refunded orders. Cancelled and pending ones are in neither."
    assert not [text for text in found.values() if re.search(r"[*`{]|\bnull\b|decimals", text)]


def test_the_site_goes_where_local_data_goes() -> None:
    current = dataclasses.replace(stack_settings.load(), local_dir=Path("/somewhere"))
    assert build.site_dir(current) == Path("/somewhere/dashboard")
