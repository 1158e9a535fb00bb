"""`python -m dashboards`: build the page and serve it until Ctrl-C. The Makefile's `dashboard` calls it."""

from __future__ import annotations

import functools
import http.server
import signal
import sys
from pathlib import Path

from dashboards import build
from stack import settings
from stack.processes import StackError, require_free_port


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder; a browser asks each time whether they are still the same, as the next build replaces them."""

    def end_headers(self) -> None:
        """Add what every answer says."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """No listings: the page links all that there is to see."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the one line that says where the page is."""


def server(host: str, port: int, site: Path) -> http.server.ThreadingHTTPServer:
    """A server of the folder `site`, not yet serving. Port 0 means any free one."""
    return http.server.ThreadingHTTPServer((host, port), functools.partial(Handler, directory=str(site)))


def main() -> int:
    """Build and serve; errors are one line on stderr and status 1, Ctrl-C is the way to end it and no error."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        current = settings.load()
        # Before the build, which takes longer than to see that it would be for nothing.
        require_free_port(current.dashboard_port, "the dashboard", "DASHBOARD_PORT")
        site = build.site_dir(current)
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
