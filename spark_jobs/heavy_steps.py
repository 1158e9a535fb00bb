"""The three heavy jobs, in their order, in one Spark session: what the DAG submits."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from spark_jobs import currency_normalization, payment_dedup, seller_tier_scd2
from spark_jobs.command import main

STEPS = [payment_dedup.update, currency_normalization.update, seller_tier_scd2.update]

if __name__ == "__main__":
    sys.exit(main("heavy_steps", __doc__, STEPS))
