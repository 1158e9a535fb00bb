"""The player of pages tells a right output from a wrong one, and refuses what nobody could run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import pages
from tests.e2e.deployment import Deployment
from tests.pages import Player, missing


@pytest.mark.parametrize(
    ("expected", "printed", "lacking"),
    [
        ("a\nc", "a\nb\nc", None),
        ("c\na", "a\nb\nc", "a"),
        ("rows  12", "rows 12", None),
        ("rows 12", "rows 13", "rows 12"),
        ("rows 1…", "rows 13", None),
        ("took 1.5 s", "took 22.0 s", None),
        ("took 1.5 s, 3 rows", "took 22.0 s, 4 rows", "took SECONDS, 3 rows"),
        ("at 2026-11-01 03:00:00", "at 2026-12-24 18:30:01.5+00:00", None),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:4711/x", None),
        ("…\nlast", "first\nlast", None),
        ("a.c", "abc", "a.c"),
    ],
)
def test_output_is_compared_but_for_what_differs_from_run_to_run(
    expected: str, printed: str, lacking: str | None
) -> None:
    assert missing(expected, printed) == lacking


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    monkeypatch.setattr(pages, "DOCS", tmp_path / "docs")
    (tmp_path / "docs").mkdir()
    (tmp_path / "copy").mkdir()
    return Player(Deployment(tmp_path / "local"), tmp_path / "copy")


def page(text: str) -> str:
    (pages.DOCS / "page.md").write_text(f"# Page\n\n## Part\n\n{text}\n")
    return "page.md"


def test_commands_are_run_in_the_folder_and_their_output_compared(player: Player) -> None:
    good = page('```sh\necho one > file; cat file\n```\n\n```text title="output"\none\n```')
    assert player.play(good, "Part") == "one\n"
    assert (player.folder / "file").exists()
    with pytest.raises(AssertionError, match="'two' is not what is printed"):
        player.play(page('```sh\necho one\n```\n\n```text title="output"\ntwo\n```'), "Part")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\nfalse\n```", "status 1"),
        ("```sh\nfalse | cat\n```", "status 1"),
        ('```sh title="not run here: x"\nif then\n```', "syntax error"),
        ("```text\nls\n```", "a text block that nobody can run"),
        ("```python\nprint()\n```", "nobody knows what to do with a python block"),
        ("```ini\nNO_SETTING=1\n```", "NO_SETTING is no setting"),
        ("```sh\nmake help\n```", "make in a copy"),
        ("```diff\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n```", "x: No such file"),
    ],
)
def test_what_does_not_do_what_it_says_is_an_error(player: Player, text: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        player.play(page(text), "Part")


def test_what_needs_a_cloud_is_not_run_but_may_not_be_nonsense(player: Player) -> None:
    assert player.play(page('```sh title="not run here: x"\ntouch file\n```'), "Part") == ""
    assert not (player.folder / "file").exists()


def test_a_difference_is_applied_and_a_file_is_written(player: Player) -> None:
    (player.folder / "dbt").mkdir()
    text = '```sql title="dbt/x.sql"\nselect 1\n```\n\n```diff\n--- a/dbt/x.sql\n+++ b/dbt/x.sql\n@@ -1 +1 @@\n-select 1\n+select 2\n```'
    player.play(page(text), "Part")
    assert (player.folder / "dbt" / "x.sql").read_text() == "select 2\n"
