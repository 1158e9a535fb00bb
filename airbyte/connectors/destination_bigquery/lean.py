"""Google's client without what it imports where it finds it, for data frames and gRPC: a third of a connector's start and memory.

A landing uses nothing of it. To be imported before anything else that imports the client, by a process that does nothing but syncs.
"""

import sys

_UNUSED = (
    "google.cloud.bigquery_storage_v1",
    "google.cloud.bigquery_storage",
    "db_dtypes",
    "grpc",
    "numpy",
    "pyarrow",
)

for _name in _UNUSED:
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]

from google.cloud import bigquery  # noqa: E402, F401

for _name in _UNUSED:
    # Others look here whether a module is there (psycopg for numpy).
    if sys.modules[_name] is None:
        del sys.modules[_name]
