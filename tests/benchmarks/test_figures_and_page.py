"""A committed figure, table or sum of money is what its results say: each is compared with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import page, plots

COMMITTED = sorted(plots.FIGURES.glob("*.svg"))


def test_every_figure_that_can_be_drawn_is_there_and_no_other() -> None:
    assert {path.stem for path in COMMITTED} == set(plots.drawable())


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_figure_is_of_the_results_as_they_are(path: Path) -> None:
    text = path.read_text()
    assert plots.stamped(text) == plots.stamp(plots.ALL[path.stem].inputs()), "`make plots` draws it anew"
    # Its own background, and text that can be read and searched.
    assert plots.PAPER in text and "<text" in text


def test_a_changed_result_is_another_stamp(tmp_path: Path) -> None:
    result = tmp_path / "landing_scale_1.json"
    result.write_text('{"seconds": 1}')
    figure = plots.ALL["landing_throughput"]
    before = plots.stamp(figure.inputs(tmp_path))
    assert before.startswith("landing_scale_1.json; sha256 ")
    result.write_text('{"seconds": 2}')
    assert plots.stamp(figure.inputs(tmp_path)) != before
    (tmp_path / "landing_scale_2.json").write_text("{}")
    assert plots.stamp(figure.inputs(tmp_path)).startswith("landing_scale_1.json, landing_scale_2.json; ")


def test_figures_are_of_the_results_that_they_name(tmp_path: Path) -> None:
    names = (
        "peers_scale_1.json",
        "peers_scale_1_memory_1g.json",
        "landing_scale_1.json",
        "cost_model.json",
        "dbt_build_scale_1.json",
        "spark_jobs_scale_1.json",
    )
    for name in names:
        (tmp_path / name).write_text("{}")

    def of(figure: str) -> list[str]:
        return [path.name for path in plots.ALL[figure].inputs(tmp_path)]

    assert of("time_against_scale") == ["peers_scale_1.json"]
    assert of("memory_limits") == ["peers_scale_1_memory_1g.json"]
    assert of("change_against_full") == ["dbt_build_scale_1.json", "landing_scale_1.json", "spark_jobs_scale_1.json"]


def test_a_crossover_is_where_the_lines_meet() -> None:
    points = {
        "spark": {1: 10.0, 10: 20.0, 100: 30.0},
        "naive": {1: 8.0, 10: 16.0, 100: 42.0},
        "duckdb": {1: 1.0, 10: 2.0},
    }
    assert plots.crossover(points, "spark", "naive") == pytest.approx(10 + 90 * 4 / 16)
    assert plots.crossover(points, "spark", "duckdb") is None
    assert plots.crossover(points, "duckdb", "spark") is None
    assert plots.crossover(points, "spark", "polars") is None


def test_the_pages_numbers_are_those_of_the_results() -> None:
    text = page.PAGE.read_text()
    assert page.rendered(text) == text, "`make plots` writes it anew"


def test_the_page_says_how_many_scales_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    name, result = page.peers()[-1]
    monkeypatch.setattr(page, "peers", lambda: [(name, result)])
    assert "at the only scale measured" in page.verdict()
    assert page.errors().endswith(f"at scale {result['scale']:g}.")
    monkeypatch.setattr(page, "peers", lambda: [(name, result), (name, result | {"scale": 1000.0})])
    assert "at every scale measured" in page.verdict()
    assert f"from scale {result['scale']:g} to 1000" in page.verdict()
    money = {"measured": {"dbt_bytes": {"10.0": 1}, "files": [], "landed_bytes_a_run": {}}}
    assert "measured at scale 10 alone" in page._measured_for_money(money)
    money["measured"]["dbt_bytes"]["1.0"] = 1
    assert "measured at scales 1 and 10; between them" in page._measured_for_money(money)


def test_the_shorter_steps_seconds_are_of_the_same_as_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    name, result = page.pipelines()[-1]
    brief = {"step": "brief", "seconds": 0.5, "share_of_wall": 0.005}
    totals = result["totals"] | {"wall_seconds": 100.0, "between_steps_share": 0.02}
    monkeypatch.setattr(page, "pipelines", lambda: [(name, result | {"totals": totals, "steps": [brief]})])
    assert "| 1 shorter ones, and between steps | 2.5 | 2% |" in page.pipeline()


def test_every_block_is_on_the_page() -> None:
    names = {found[2] for found in page.BLOCK.finditer(page.PAGE.read_text())}
    assert names == set(page.BLOCKS) | {f"figure {name}" for name in plots.ALL}


def test_a_number_on_the_page_that_nobody_made_is_noticed() -> None:
    prose = page.BLOCK.sub("", page.PAGE.read_text())
    prose = re.sub(r"```.*?```", "", prose, flags=re.S)
    measured = re.compile(r"\d[\d.,]*\s*(s|seconds|MB|GB|%|x|USD|times)\b")
    assert measured.findall(prose) == []
    assert measured.search("it takes 12.5 s") and measured.search("2.3 times as long")


def test_a_wrong_number_in_a_block_does_not_survive() -> None:
    text = page.PAGE.read_text()
    block = next(found for found in page.BLOCK.finditer(text) if found[2] == "prices")
    spoilt = text.replace(block[3], block[3].replace("6.25", "6.26"))
    assert spoilt != text
    assert page.rendered(spoilt) == text


def test_every_result_of_the_peers_is_of_equal_rows() -> None:
    for path in plots.RESULTS.glob("peers_scale_*.json"):
        assert json.loads(path.read_text())["differences"] == [], path.name
