"""`python -m airbyte.connectors.destination_bigquery`."""

import sys

from airbyte.connectors.destination_bigquery import lean  # noqa: F401 - the first
from airbyte.connectors.destination_bigquery.connector import DestinationBigQuery
from airbyte.connectors.protocol import main

sys.exit(main(DestinationBigQuery()))
