"""`python -m airbyte.connectors.destination_bigquery`."""

import sys

# Google's client imports for data frames and gRPC what it finds: a third of the start and of the memory, for nothing that a landing uses.
for unused in (
    "google.cloud.bigquery_storage_v1",
    "google.cloud.bigquery_storage",
    "db_dtypes",
    "grpc",
    "numpy",
    "pyarrow",
):
    sys.modules.setdefault(unused, None)  # type: ignore[arg-type]

from airbyte.connectors.destination_bigquery.connector import DestinationBigQuery  # noqa: E402
from airbyte.connectors.protocol import main  # noqa: E402

sys.exit(main(DestinationBigQuery()))
