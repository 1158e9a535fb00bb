"""The engines that `benchmarks.peers` compares: each module does the three heavy jobs from Parquet to Parquet, to the same rows.

A module has one class, made with a memory limit ("2g", or None) and a folder for what it spills. It is a context manager: entering it brings the engine up to
where it could begin to read; `run(job, inputs, outputs)` does the job and returns when all files are written. `inputs` holds the tables by the lake's names
(`benchmarks.peers.prepare`), `outputs` gets a folder of Parquet files a result.
"""
