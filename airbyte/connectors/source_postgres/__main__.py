"""`python -m airbyte.connectors.source_postgres`: the Postgres source, which speaks Airbyte's protocol. A worker of the API server starts it."""

import sys

from airbyte.connectors.protocol import main
from airbyte.connectors.source_postgres.connector import SourcePostgres

sys.exit(main(SourcePostgres()))
