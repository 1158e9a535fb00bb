"""`python -m stack.audit`: look every locked package up among the known vulnerabilities (osv.dev), with pip-audit. The Makefile's `audit` calls it.

The exit status is 0 only when the service answered for every file and knows of nothing: a service that cannot be reached is a failure, too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from stack.bootstrap import VENV
from stack.settings import ROOT

# What pip-audit says, through its HTTP library, of a service that does not answer.
UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "Max retries exceeded")
UNREACHED = 2


def audit(requirements: Path) -> int:
    """Audit one file of hashed requirements, with what is found printed. Returns 0 (nothing known), 1 (something is) or UNREACHED."""
    done = subprocess.run(
        [
            str(VENV / "dev" / "bin" / "pip-audit"),
            *("--requirement", str(requirements), "--require-hashes", "--disable-pip"),
            *("--vulnerability-service", "osv", "--timeout", "15", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        return UNREACHED
    print(f"{requirements.name}: {(done.stdout.strip() or done.stderr.strip())}", flush=True)
    return 1 if done.returncode else 0


def main(arguments: list[str] | None = None) -> int:
    """Audit every file of requirements/. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m stack.audit", description=__doc__).parse_args(arguments)
    statuses = []
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        statuses.append(audit(path))
        if statuses[-1] == UNREACHED:
            print(
                f"error: {path.name}: the advisory service (api.osv.dev) does not answer: nothing is known about these packages",
                file=sys.stderr,
            )
            return UNREACHED
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
