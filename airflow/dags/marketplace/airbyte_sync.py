"""The sync's two tasks, which may be killed and tried again at any moment like all others."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator
from typing import Any

from airbyte_api import AirbyteAPI, api, models
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from stack import settings

CONNECTION = "airbyte_marketplace"
OVER = ("Job failed", "Job was cancelled")
# As a job is before it has ended: it waits for its turn, runs, or is between two of its attempts.
UNDER_WAY = (
    models.JobStatusEnum.PENDING,
    models.JobStatusEnum.QUEUED,
    models.JobStatusEnum.RUNNING,
    models.JobStatusEnum.INCOMPLETE,
)
# How long an Airbyte that does not answer is asked again, as its server may be restarted: the job may be well meanwhile.
PATIENCE_SECONDS = 600.0


class TriggerSync(AirbyteTriggerSyncOperator):
    """Starts a sync and returns its job id; of one that a try before has started in this run, the id of that.

    A job that ran before the run began is ended: it lacks what has changed at the source since, and may be stuck. What it has committed stays.
    """

    def __init__(self, **kwargs: Any) -> None:
        """`connection_id` is Airbyte's."""
        super().__init__(airbyte_conn_id=CONNECTION, asynchronous=True, **kwargs)

    def execute(self, context: Any) -> Any:
        """Find or start the job. Raises AirflowException with Airbyte's reason."""
        hook = AirbyteHook(airbyte_conn_id=CONNECTION)
        for job in self._under_way(hook.airbyte_api):
            if datetime.datetime.fromisoformat(job.start_time) >= context["dag_run"].start_date:
                self.log.info("Job %s is under way already", job.job_id)
                return job.job_id
            self.log.info("Job %s is of %s, before this run began: it is cancelled", job.job_id, job.start_time)
            hook.cancel_job(job.job_id)
        return super().execute(context)

    def _under_way(self, client: AirbyteAPI) -> Iterator[models.JobResponse]:
        for status in UNDER_WAY:
            request = api.ListJobsRequest(connection_id=self.connection_id, status=status, limit=1)
            found = client.jobs.list_jobs(request=request).jobs_response
            yield from found.data if found is not None else []


class WaitForSync(AirbyteJobSensor):
    """Waits for the job's end. A job that failed, or does not end in time, fails the task for good: neither is mended by looking again."""

    def __init__(self, **kwargs: Any) -> None:
        """`airbyte_job_id` is the job's."""
        super().__init__(airbyte_conn_id=CONNECTION, poke_interval=2, **kwargs)
        self._answered: float | None = None

    def execute(self, context: Any) -> None:
        """Wait. Raises AirflowFailException when the task's time is over, in the middle of a question to Airbyte too, and as `poke`."""
        try:
            super().execute(context)
        except AirflowTaskTimeout as error:
            seconds = settings.load().task_timeout_seconds
            raise AirflowFailException(f"Airbyte job {self.airbyte_job_id}: not done after {seconds:,} s") from error

    def poke(self, context: Any) -> bool:
        """Whether the job has succeeded. Raises AirflowFailException, with the reasons, when it failed, AirflowException when Airbyte is long gone."""
        now = time.monotonic()
        self._answered = self._answered or now
        try:
            has_succeeded = bool(super().poke(context))
        except AirflowException as error:
            if str(error).startswith(OVER):
                raise AirflowFailException(failure(self.airbyte_job_id, str(error))) from error
            if now - self._answered > PATIENCE_SECONDS:
                raise
            self.log.warning("Airbyte cannot be asked, and is asked again: %s", error)
            return False
        self._answered = now
        return has_succeeded


def failure(job_id: int, said: str) -> str:
    """Why a job did not succeed: the errors in its log, else the beginning of what the provider `said`, which has no reason."""
    reasons = [line.split(" error: ", 1)[1] for line in _log(job_id) if " error: " in line]
    status = said.splitlines()[0].rstrip(": ")
    return f"Airbyte job {job_id}: {'; '.join(reasons) or f'{status}: see the job in Airbyte'}"


def _log(job_id: int) -> list[str]:
    """A job's log from the embedded server; nothing from a real Airbyte, whose public API has none. A failure is told with or without it: raises nothing."""
    try:
        client = AirbyteHook(airbyte_conn_id=CONNECTION).airbyte_api
        # The log is one step further than the job: where the provider has asked, and as it has logged in.
        job = client.jobs.get_job(request=api.GetJobRequest(job_id=job_id)).raw_response.request
        answer = client.sdk_configuration.client.get(f"{job.url}/log", headers=job.headers)
    except Exception as error:
        logging.getLogger(__name__).warning("Airbyte did not give the log of job %s: %s", job_id, error)
        return []
    return answer.text.splitlines() if answer.is_success else []
