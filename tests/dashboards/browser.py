"""A real Chromium, and what a careful reader would look at in it: errors, requests to elsewhere, names, contrast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stack import bootstrap

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
VIEWS = ("sales", "sellers", "tiers", "payments", "cohorts", "quality")

# Text that is not as readable as WCAG's AA asks: {text, ratio, wanted}. Colours go through a canvas, which turns any notation into bytes.
LOW_CONTRAST = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const bytes = (color) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, a] = bytes(getComputedStyle(each).backgroundColor);
      if (a === 255) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest("noscript, :disabled, .visually-hidden, .skip")) continue;
    const style = getComputedStyle(element);
    const [front, back] = [luminance(bytes(style.color).slice(0, 3)), luminance(background(element))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < wanted) found.push({ text, ratio, wanted });
  }
  return found;
}"""

# What a screen reader would stumble over, as one sentence each.
UNNAMED = """() => {
  const problems = [];
  const say = (text, element) => problems.push(`${text}: ${element.outerHTML.slice(0, 120)}`);
  for (const field of document.querySelectorAll("select, input")) {
    if (!field.labels.length || !field.labels[0].textContent.trim()) say("no label", field);
  }
  for (const each of document.querySelectorAll("button, a, summary")) {
    if (!each.textContent.trim() && !each.getAttribute("aria-label")) say("no name", each);
  }
  for (const each of document.querySelectorAll("table")) if (!each.caption?.textContent.trim()) say("no caption", each);
  for (const each of document.querySelectorAll("thead th")) if (!each.textContent.trim() || !each.scope) say("no head", each);
  for (const each of document.querySelectorAll("tbody tr")) if (!each.querySelector("th[scope=row]")) say("no row head", each);
  for (const each of document.querySelectorAll("figure")) {
    if (!each.querySelector("[role=img]").getAttribute("aria-label")) say("no text alternative", each);
    if (!each.querySelector("details > summary")) say("no table", each);
  }
  for (const each of document.querySelectorAll("[role=region]")) {
    if (!document.getElementById(each.getAttribute("aria-labelledby"))?.textContent) say("no name", each);
    if (each.tabIndex !== 0) say("cannot be scrolled by keyboard", each);
  }
  for (const each of document.querySelectorAll("fieldset")) if (!each.querySelector("legend")?.textContent) say("no legend", each);
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  if (new Set(ids).size !== ids.length) problems.push("an id is used twice");
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((each) => Number(each.tagName[1]));
  if (levels[0] !== 1 || levels.filter((n) => n === 1).length !== 1) problems.push(`headings: ${levels}`);
  if (levels.some((n, i) => i && n > levels[i - 1] + 1)) problems.push(`headings: ${levels}`);
  for (const landmark of ["header", "nav[aria-label]", "main", "footer"]) {
    if (document.querySelectorAll(`body > ${landmark}`).length !== 1) problems.push(`not one ${landmark}`);
  }
  if (document.querySelectorAll("nav [aria-current=page]").length !== 1) problems.push("not one current view");
  if (!document.documentElement.lang) problems.push("no language");
  return problems;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, or a skip that says how to get one. One that is named by the variable CHROMIUM must be there."""
    try:
        executable = bootstrap.browser()
    except bootstrap.Missing as missing:
        if os.environ.get("CHROMIUM"):
            raise
        pytest.skip(str(missing))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Reader:
    """One tab on one site. It notes every error and every request, and fails at the end of a test that had an unwanted one."""

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        self.address = address
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type != "log" else None)
        self.page.on("response", lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    def open(self, view: str = "sales") -> Page:
        """Show a view and wait until it and its charts are there."""
        self.page.goto(f"{self.address}/#{view}")
        self.page.wait_for_selector(f"main[data-view={view}] h1")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until every chart is drawn."""
        # Not by a function of the page: its policy forbids code from strings.
        self.page.wait_for_selector(".chart:not(:has(canvas))", state="detached")

    def figures(self) -> dict[str, str]:
        """The figures on top of the view, by name."""
        names, values = (self.page.locator(f".figures {tag}").all_inner_texts() for tag in ("dt", "dd:not(.note)"))
        return dict(zip(names, values, strict=True))

    def rows(self, caption: str) -> list[list[str]]:
        """The body of the table of that caption, as text."""
        table = self.page.locator("table", has=self.page.locator("caption", has_text=caption)).first
        return [row.locator("th, td").all_text_contents() for row in table.locator("tbody tr").all()]

    def unfold(self, summary: str) -> None:
        """Open the first part of that summary and wait for what it holds: it is made when it is first shown."""
        part = self.page.locator("details", has=self.page.locator("summary", has_text=summary)).first
        part.locator("summary").click()
        part.locator("table").wait_for()

    def demand_quiet(self) -> None:
        """No error was said and nothing was asked of anybody else."""
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith(f"{self.address}/")] == []
