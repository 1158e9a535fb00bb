"""The part of Airbyte's public API that clients need, running the project's connectors as subprocesses.

Any client of the API works: the `airbyte-api` SDK, Airflow's provider, Terraform. `python -m airbyte.server --help`.
"""
