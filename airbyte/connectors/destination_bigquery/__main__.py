"""`python -m airbyte.connectors.destination_bigquery`: the BigQuery destination, which speaks Airbyte's protocol. A worker of the API server starts it."""

import sys

from airbyte.connectors.destination_bigquery import lean  # noqa: F401 - the first
from airbyte.connectors.destination_bigquery.connector import DestinationBigQuery
from airbyte.connectors.protocol import main

sys.exit(main(DestinationBigQuery()))
