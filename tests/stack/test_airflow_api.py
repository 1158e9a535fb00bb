"""The client of Airflow's REST API, against a server that is as slow and as troubled as a busy machine's."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack import airflow, settings
from stack.processes import StackError

# What the server does with the next requests: a status, or "late".
to_come: list[int | str] = []
asked: list[str] = []


class Server(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked.append(self.command)
        how = 200 if self.path == "/auth/token" or not to_come else to_come.pop(0)
        if how == "late":
            time.sleep(1.0)
            return
        self.send_response(int(how))
        self.end_headers()
        well = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor")}
        self.wfile.write(json.dumps({"access_token": "x", "state": "running", "dag_run_id": "one"} | well).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


def test_a_secret_that_was_never_written_is_made_anew_and_a_kill_leaves_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current = dataclasses.replace(settings.load(), local_dir=tmp_path)
    path = tmp_path / "airflow" / "jwt.secret"
    path.parent.mkdir()
    path.touch(mode=0o600)
    assert airflow._secret(current, "jwt", "first") == "first"
    assert airflow._secret(current, "jwt", "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    # As a full disk stops it: nothing is there under the final name.
    with pytest.raises(TypeError):
        airflow._secret(current, "fernet", None)  # type: ignore[arg-type]
    assert [kept.name for kept in path.parent.iterdir()] == ["jwt.secret"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[airflow.Api]:
    """A client that is logged in, and waits half a second for an answer."""
    monkeypatch.setattr(airflow, "ANSWER_SECONDS", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}")
        made = airflow.Api(settings.load())
        to_come.clear()
        asked.clear()
        yield made
        server.shutdown()


def test_a_question_without_an_answer_in_time_is_asked_again(api: airflow.Api) -> None:
    to_come[:] = ["late", 500, 503]
    assert api.run("dag", "one")["state"] == "running"
    assert asked == ["GET"] * 4


def test_what_does_something_is_said_once(api: airflow.Api) -> None:
    to_come[:] = ["late"]
    with pytest.raises(StackError, match="does not answer"):
        api.trigger("dag", {})
    assert asked == ["POST"]


def test_a_question_that_airflow_refuses_is_asked_once_and_one_in_vain_five_times(api: airflow.Api) -> None:
    to_come[:] = [404]
    with pytest.raises(StackError, match="404"):
        api.run("dag", "one")
    assert asked == ["GET"]
    to_come[:] = [500] * 5
    with pytest.raises(StackError, match="500"):
        api.run("dag", "one")
    assert asked == ["GET"] * 6


@pytest.mark.parametrize(
    ("answers", "expected"), [([200, 200], True), ([200, 503], False), ([200, "late"], False), ([503], False)]
)
def test_airflow_is_up_when_the_tasks_own_api_answers_too(
    api: airflow.Api, answers: list[int | str], expected: bool
) -> None:
    to_come[:] = answers
    assert airflow.is_healthy(settings.load()) is expected
    assert to_come == []
