"""`python -m airbyte.connectors.source_postgres`."""

import sys

from airbyte.connectors.protocol import main
from airbyte.connectors.source_postgres.connector import SourcePostgres

sys.exit(main(SourcePostgres()))
