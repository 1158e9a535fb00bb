"""BigQuery as an Airbyte destination: typed tables, one atomic statement a stream and sync."""
