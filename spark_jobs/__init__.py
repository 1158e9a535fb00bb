"""The three heavy models as Spark jobs on Delta: raw in BigQuery in, `intermediate` in BigQuery out.

Each job is a spark-submit entry point round pure DataFrame -> DataFrame functions. `docs/architecture.md` states the rows.
"""
