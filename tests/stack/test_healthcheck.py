"""What tells an engine whether a container is well."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from stack.healthcheck import problem
from stack.processes import free_port

ANSWERS = {
    "/": (200, b"hello"),
    "/sick": (503, b""),
    "/health": (
        200,
        json.dumps(
            {"scheduler": {"status": "healthy"}, "triggerer": {"status": "unhealthy"}, "status": "ALIVE"}
        ).encode(),
    ),
}


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_answer_of_200_is_well(address: str) -> None:
    assert problem(f"{address}/") == ""


def test_another_status_no_answer_and_no_json_are_not(address: str) -> None:
    assert "503" in problem(f"{address}/sick")
    assert "refused" in problem(f"http://127.0.0.1:{free_port()}/")
    assert "Expecting value" in problem(f"{address}/", "scheduler")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("scheduler", ""),
        ("status", ""),
        ("triggerer", "triggerer is unhealthy"),
        ("dag_processor", "dag_processor is None"),
    ],
)
def test_a_part_is_as_well_as_it_says(address: str, part: str, said: str) -> None:
    assert problem(f"{address}/health", part).removeprefix(f"{address}/health: ") == said
