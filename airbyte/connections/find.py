"""`python -m airbyte.connections.find`: print the id of the described connection, for whoever triggers its sync."""

from __future__ import annotations

import argparse
import sys

from airbyte.connections.api import Airbyte, ApplyError
from airbyte.connections.description import load
from stack import settings
from stack.processes import StackError


def main() -> int:
    """The command line. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m airbyte.connections.find", description=__doc__).parse_args()
    description = load()
    try:
        found = Airbyte(settings.load()).find("connection", description.name)
    except (ApplyError, StackError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    if found is None:
        print(
            f"error: Airbyte has no connection {description.name!r}: `python -m airbyte.connections.apply` makes it",
            file=sys.stderr,
        )
        return 1
    print(found.connection_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
