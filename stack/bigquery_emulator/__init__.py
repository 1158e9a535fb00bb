"""The BigQuery emulator (local-bigquery, on DuckDB) with what this project puts in the place of some of its parts.

`app` is the program and applies the rest. It has an environment of its own, so nothing of the pipeline imports it; `stack/emulator.py` starts and stops it.
"""
