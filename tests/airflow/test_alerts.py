"""A failure is told to a real web server and a real mailbox, where Airflow has connections to them; one that is broken costs nothing but its own message."""

from __future__ import annotations

import email
import http.server
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from email import policy

import pytest

from stack.settings import ROOT, Settings
from tests.airflow import airflow_python

RUNBOOK = ROOT / "docs" / "runbook.md"
# Run under Airflow's own environment.
TELL = """
import json
from types import SimpleNamespace
from marketplace import alerts
told = SimpleNamespace(dag_id="a_dag", task_id="intermediate_gate", try_number=2, log_url="http://127.0.0.1/log")
alerts.send(alerts.alert_of({"ti": told, "run_id": "a run", "exception": RuntimeError("2 <orders> are there twice")}))
print(json.dumps({task: alerts.section(task) for task in ("sync.wait", "heavy_spark", "fall_back_dbt", "marts", "sweep_deletions")}))
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers["Authorization"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as one message needs."""

    def handle(self) -> None:
        self._say(220)
        while line := self.rfile.readline().decode().strip():
            if line.upper() == "DATA":
                self._say(354)
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.received.append(b"".join(lines))  # type: ignore[attr-defined]
            self._say(221 if line.upper() == "QUIT" else 250)
            if line.upper() == "QUIT":
                return

    def _say(self, code: int) -> None:
        self.wfile.write(f"{code} ok\r\n".encode())


@pytest.fixture
def receivers() -> Iterator[dict[str, socketserver.TCPServer]]:
    servers = {
        "webhook": http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver),
        "mail": socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox),
    }
    for server in servers.values():
        server.received = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers
    for server in servers.values():
        server.shutdown()
        server.server_close()


def tell(settings: Settings, webhook: dict, mail: dict, *, is_disk_full: bool = False) -> dict:
    """Alert under Airflow's environment with these connections. Returns the script's last line."""
    log = settings.local_dir / "alerts.log"
    log.unlink(missing_ok=True)
    if is_disk_full:
        log.symlink_to("/dev/full")
    connections = {"AIRFLOW_CONN_ALERTS_WEBHOOK": json.dumps(webhook), "AIRFLOW_CONN_ALERTS_MAIL": json.dumps(mail)}
    return airflow_python.run("-c", TELL, **connections)


def logged(settings: Settings) -> list[dict]:
    return [json.loads(line) for line in (settings.local_dir / "alerts.log").read_text().splitlines()]


def test_log_webhook_and_mail_say_the_same(settings: Settings, receivers: dict) -> None:
    ports = {name: server.server_address[1] for name, server in receivers.items()}
    sections = tell(
        settings,
        {"conn_type": "http", "host": f"http://127.0.0.1:{ports['webhook']}/alerts", "password": "token"},
        {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": ports["mail"],
            "extra": {
                "disable_ssl": True,
                "disable_tls": True,
                "from_email": "elt@example.com",
                "to": "on@example.com",
            },
        },
    )
    [(path, authorization, posted)] = receivers["webhook"].received
    assert (path, authorization) == ("/alerts", "Bearer token")
    assert {name: posted[name] for name in posted if name != "at"} == {
        "dag": "a_dag",
        "run": "a run",
        "task": "intermediate_gate",
        "try": 2,
        "reason": "2 <orders> are there twice",
        "log": "http://127.0.0.1/log",
        "runbook": "docs/runbook.md#a-gate-is-red",
    }
    assert logged(settings) == [posted]
    message = email.message_from_bytes(receivers["mail"].received[0], policy=policy.default)
    assert (message["Subject"], message["To"]) == ("a_dag: intermediate_gate failed", "on@example.com")
    body = message.get_body(("html",))
    assert body is not None
    assert "2 &lt;orders&gt; are there twice" in body.get_content()
    headings = {
        re.sub(r"[^a-z ]", "", line.lower()).strip().replace(" ", "-")
        for line in RUNBOOK.read_text().splitlines()
        if line.startswith("## ")
    }
    assert {said.removeprefix("docs/runbook.md#") for said in sections.values()} <= headings


def test_channels_that_are_broken_cost_only_their_own_message(settings: Settings) -> None:
    tell(
        settings,
        {"conn_type": "http", "host": "http://127.0.0.1:9/nobody-listens"},
        {"conn_type": "smtp", "host": "127.0.0.1", "port": 9, "extra": {"disable_ssl": True}},
    )
    assert [alert["task"] for alert in logged(settings)] == ["intermediate_gate"]


def test_a_full_disk_costs_the_log_alone(settings: Settings, receivers: dict) -> None:
    ports = {name: server.server_address[1] for name, server in receivers.items()}
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "elt@example.com", "to": "on@example.com"}
    try:
        tell(
            settings,
            {"conn_type": "http", "host": f"http://127.0.0.1:{ports['webhook']}/alerts"},
            {"conn_type": "smtp", "host": "127.0.0.1", "port": ports["mail"], "extra": extra},
            is_disk_full=True,
        )
    finally:
        (settings.local_dir / "alerts.log").unlink()
    assert [alert["task"] for _, _, alert in receivers["webhook"].received] == ["intermediate_gate"]
    assert len(receivers["mail"].received) == 1
