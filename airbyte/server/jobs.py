"""Starting, cancelling and finding again the jobs' processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from airbyte.server.store import ACTIVE, PENDING, Store
from airbyte.server.workers import Workers
from stack import processes

Json = dict[str, Any]
# A destination ends its jobs and drops its temporary tables.
CLEANUP_SECONDS = 30.0
KILL_SECONDS = 3.0
KILLED = "the job's process was killed"
# So long a job is remembered, with its log, after it ended.
KEEP_DAYS = 365


class Jobs:
    """The jobs of one server. Each runs in a process group of its own, within the server's session."""

    def __init__(self, store: Store, folder: Path) -> None:
        """`folder` is the server's data directory."""
        self._store = store
        self._folder = folder
        # Jobs that are being ended on purpose: that their process is gone says nothing about them.
        self._ending: set[int] = set()
        self._workers = Workers(folder)
        (folder / "jobs").mkdir(parents=True, exist_ok=True)

    def open(self) -> None:
        """Mark failed what a killed server or a killed worker left as active, end what is left of it, and make ready for the first job."""
        self._workers.warm()
        for job in self._store.jobs():
            if job["status"] == PENDING:
                # One that is taken at this moment goes on, as those do whose workers live.
                self._store.call_off_job(job["id"], "failed", "the server was stopped before the job began")
            self.refresh(job)

    def start(self, connection_id: str, job_type: str) -> int:
        """Start a sync or a refresh. Returns its job id. Raises Busy while another one runs."""
        for job in self._store.jobs(connection_id):
            self.refresh(job)
        for old in self._store.forget_jobs(time.time() - KEEP_DAYS * 86_400):
            self._log(old).unlink(missing_ok=True)
        job_id = self._store.create_job(connection_id, job_type)
        self._log(job_id).touch(mode=0o600)
        try:
            worker = self._workers.start(job_id)
        except RuntimeError as error:
            self._store.call_off_job(job_id, "failed", str(error))
        else:
            threading.Thread(target=self._watch, args=(job_id, worker), daemon=True).start()
        return job_id

    def _log(self, job_id: int) -> Path:
        return self._folder / "jobs" / f"{job_id}.log"

    def close(self) -> None:
        """Cancel what runs, all at once, which takes CLEANUP_SECONDS and KILL_SECONDS at most; no job is started any more."""
        self._workers.seal()
        active = [job for job in self._store.jobs() if job["status"] in ACTIVE]
        with ThreadPoolExecutor(max_workers=max(1, len(active))) as at_once:
            list(at_once.map(self.cancel, active))
        self._workers.close()

    def _watch(self, job_id: int, worker: int) -> None:
        """Wait for the end of the job's `worker` (its process id), and note what became of the job.

        The worker itself notes that the job is its. It may find that another one has it: one that was started just before, and whose number was lost
        with the process that forked it.
        """
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(worker).wait()
            self._store.call_off_job(job_id, "failed", KILLED)
            job = self._store.job(job_id)
            if job is None or self.refresh(job)["status"] not in ACTIVE or job["pid"] == worker:
                return
            worker = job["pid"]

    def refresh(self, job: Json) -> Json:
        """The job as it really stands: failed when it is noted as running and its process is gone."""
        if job["status"] not in ACTIVE or job["id"] in self._ending:
            return job
        # Whoever started a job watches it until it is taken.
        if job["status"] == PENDING or _alive(job):
            return job
        self._end(job, "failed", KILLED)
        return self._store.job(job["id"]) or job

    def cancel(self, job: Json) -> Json:
        """End an active job with everything it started. A job that has ended stays as it is."""
        job = self.refresh(job)
        if job["status"] in ACTIVE:
            self._end(job, "cancelled", "cancelled")
        return self._store.job(job["id"]) or job

    def _end(self, job: Json, status: str, message: str) -> None:
        self._ending.add(job["id"])
        try:
            if not self._store.call_off_job(job["id"], status, message):
                # As it stands now: it may have been taken meanwhile.
                current = self._store.job(job["id"]) or job
                if current["status"] in ACTIVE:
                    _kill_group(current["pid"])
                self._store.update_job(job["id"], status=status, message=message)
        finally:
            self._ending.discard(job["id"])
        shutil.rmtree(self._folder / "jobs" / str(job["id"]), ignore_errors=True)


def _alive(job: Json) -> bool:
    process = processes.living(job["pid"], job["process_born"])
    return process is not None and not processes.is_zombie(process)


def _kill_group(group: int) -> None:
    """End a worker, its source and its destination: they share a process group, whose number no other process gets while one of them lives."""
    for number, seconds in ((signal.SIGTERM, CLEANUP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        members = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == group and "airbyte." in " ".join(process.cmdline()):
                    members.append(process)
            except (OSError, psutil.Error):
                continue
        if not members:
            return
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(members, timeout=seconds)
