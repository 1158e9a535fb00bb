"""The documentation site builds without the network, has no dead link, and asks nobody but itself for anything: looked at in a real Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from dashboards.__main__ import server
from stack import bootstrap
from tests.dashboards.browser import LOW_CONTRAST, Reader, chromium
from tests.pages import checkout
from website.__main__ import build

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


class Links(HTMLParser):
    """The addresses of a page: what it loads, what it links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        # A canonical address or a feed is told, not loaded.
        if (address := given.get(LOADED.get(tag, ""))) and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(address)
        if tag == "a" and (address := given.get("href")):
            self.linked.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert (bootstrap.VENV / "docs").exists(), (
        "no .venv/docs: `python3 stack/bootstrap.py --also docs` makes it, as `make test` does"
    )
    return build(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_is_there(site: Path, pages: dict[Path, Links]) -> None:
    names = {path.relative_to(site).as_posix() for path in pages}
    wanted = {"index.html", "tutorial.html", "runbook.html", "reference/settings.html", "reference/tables/marts.html"}
    wanted |= {"decisions/index.html", "project/changelog.html", "discussion/scalability.html"}
    assert wanted <= names
    assert (site / "results" / "landing_scale_10.json").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Links]) -> None:
    assert [(path.name, address) for path, page in pages.items() for address in page.loaded if "//" in address] == []
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text().replace('"', ""), style.name


def test_no_link_is_dead(site: Path, pages: dict[Path, Links]) -> None:
    dead = []
    for path, page in pages.items():
        # The page of "not found" is served at any depth, so its links begin at the root.
        for address in [*page.linked, *page.loaded] if path.name != "404.html" else []:
            url = urlsplit(address)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.exists() or (
                url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors
            ):
                dead.append((path.name, address))
    assert dead == []


def test_a_dead_link_is_an_error(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "checkout")
    (copy / ".venv").symlink_to(bootstrap.VENV)
    (copy / "docs" / "runbook.md").open("a").write("\n[gone](../stack/gone.py)\n")
    done = subprocess.run(
        [sys.executable, "-m", "website"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "LOCAL_DIR": str(tmp_path / "local")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "docs/runbook.md links to ../stack/gone.py, which is not part of the site" in done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server("127.0.0.1", 0, site) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


MAIN = (
    "index",
    "tutorial",
    "architecture",
    "runbook",
    "reference/settings",
    "reference/tables/marts",
    "reference/airbyte-api",
    "discussion/scalability",
)


@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_main_pages_fit_are_readable_and_ask_nobody_else(
    browser: Browser, address: str, width: int, theme: str
) -> None:
    reader = Reader(browser, address, viewport={"width": width, "height": 800}, color_scheme=theme)
    for name in MAIN:
        reader.page.goto(f"{address}/{name}.html")
        reader.page.wait_for_selector("main h1")
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width, name
        # The theme's own bars have their own colours; a mark of a heading shows when it is pointed at.
        assert (
            reader.page.evaluate(LOW_CONTRAST.replace(".skip", ".md-skip, nav, header, footer, .headerlink")) == []
        ), name
    reader.demand_quiet()
    reader.context.close()


def test_the_search_finds_a_page(browser: Browser, address: str) -> None:
    reader = Reader(browser, address, viewport={"width": 1280, "height": 800})
    reader.page.goto(f"{address}/index.html")
    # The theme reads the box when a key comes up: `fill` presses none, and what it wrote would be read only if it was quicker than the theme.
    reader.page.locator("input[name=query]").press_sequentially("quarantine")
    reader.page.locator(".md-search-result__link").first.wait_for()
    reader.demand_quiet()
    reader.context.close()
