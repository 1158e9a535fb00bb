"""`python -m dashboards`: build the page and serve it until Ctrl-C. The Makefile's `dashboard` calls it.

`--follow` serves at once, before there are marts, too, and builds anew when a run of the pipeline has ended: what a container does.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import signal
import sys
import threading
import time
from pathlib import Path

from requests import ConnectionError as NoConnection

from dashboards import build
from stack import bigquery, ledger, settings
from stack.processes import StackError, require_free_port
from stack.settings import Settings

LOOK_SECONDS = 10
# What keeps from building and says so itself.
EXPECTED = (StackError, OSError, *bigquery.ERRORS, NoConnection)
# What is shown as long as there is nothing to show.
EMPTY = b"""<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="10">
<title>Marketplace</title><h1>No marts to show yet</h1><p>They appear here after the first run of the pipeline.</p></html>
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder; a browser asks each time whether they are still the same, as the next build replaces them."""

    def end_headers(self) -> None:
        """Add what every answer says."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def do_GET(self) -> None:
        """The file; in place of a page that is not built yet, a page that says so."""
        if self.path != "/" or (Path(self.directory) / "index.html").is_file():
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(EMPTY)))
        self.end_headers()
        self.wfile.write(EMPTY)

    def list_directory(self, path: object) -> None:
        """No listings: the page links all that there is to see."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the one line that says where the page is."""


def server(host: str, port: int, site: Path) -> http.server.ThreadingHTTPServer:
    """A server of the folder `site`, not yet serving. Port 0 means any free one."""
    return http.server.ThreadingHTTPServer((host, port), functools.partial(Handler, directory=str(site)))


def follow(current: Settings, site: Path) -> None:
    """Build when a run has published, for as long as the process lives. What keeps it from building is said once, and tried again."""
    built, said = None, ""
    while True:
        try:
            newest = ledger.last_success(current, "publish")
            # Marts that no gate has passed yet are not for readers.
            if newest and newest != built:
                build.build(current, site)
                built = newest
            said = ""
        except Exception as error:
            # What nobody has thought of must not leave readers with an old page for ever.
            text = str(error) if isinstance(error, EXPECTED) else repr(error)
            problem = " ".join(text.split())[:400]
            if problem != said:
                print(f"not built: {problem}", file=sys.stderr, flush=True)
            said = problem
        time.sleep(LOOK_SECONDS)


def main() -> int:
    """Build and serve; errors are one line on stderr and status 1, Ctrl-C is the way to end it and no error."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--follow", action="store_true", help="build anew after each run of the pipeline")
    arguments = parser.parse_args()
    # A shell's background job begins with Ctrl-C ignored, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        current = settings.load()
        # Before the build, which takes longer than to see that it would be for nothing.
        require_free_port(current.dashboard_port, "the dashboard", "DASHBOARD_PORT")
        site = build.site_dir(current)
        if arguments.follow:
            threading.Thread(target=follow, args=(current, site), name="follow", daemon=True).start()
        else:
            build.build(current, site)
        with server(current.bind_host, current.dashboard_port, site) as serving:
            print(f"serving http://127.0.0.1:{current.dashboard_port} until Ctrl-C", flush=True)
            serving.serve_forever()
    except KeyboardInterrupt:
        print("\nstopped")
    except (StackError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
