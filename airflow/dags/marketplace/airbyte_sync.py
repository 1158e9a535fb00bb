"""The sync's two tasks, which may be killed and tried again at any moment like all others."""

from __future__ import annotations

import datetime
import logging
from typing import Any

from airbyte_api import api, models
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from stack import settings

CONNECTION = "airbyte_marketplace"
OVER = ("Job failed", "Job was cancelled")


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
        client = hook.airbyte_api
        request = api.ListJobsRequest(connection_id=self.connection_id, status=models.JobStatusEnum.RUNNING, limit=1)
        found = client.jobs.list_jobs(request=request).jobs_response
        for job in found.data if found is not None else []:
            if datetime.datetime.fromisoformat(job.start_time) >= context["dag_run"].start_date:
                self.log.info("Job %s runs already", job.job_id)
                return job.job_id
            self.log.info("Job %s has run since %s, before this run began: it is cancelled", job.job_id, job.start_time)
            hook.cancel_job(job.job_id)
        return super().execute(context)


class WaitForSync(AirbyteJobSensor):
    """Waits for the job's end. A job that failed, or does not end in time, fails the task for good: neither is mended by looking again."""

    def __init__(self, **kwargs: Any) -> None:
        """`airbyte_job_id` is the job's."""
        super().__init__(airbyte_conn_id=CONNECTION, poke_interval=2, **kwargs)

    def execute(self, context: Any) -> None:
        """Wait. Raises AirflowFailException when the task's time is over, in the middle of a question to Airbyte too, and as `poke`."""
        try:
            super().execute(context)
        except AirflowTaskTimeout as error:
            seconds = settings.load().task_timeout_seconds
            raise AirflowFailException(f"Airbyte job {self.airbyte_job_id}: not done after {seconds:,} s") from error

    def poke(self, context: Any) -> bool:
        """Whether the job has succeeded. Raises AirflowFailException, with the reasons, when it has not, AirflowException when Airbyte cannot be asked."""
        try:
            return bool(super().poke(context))
        except AirflowException as error:
            if str(error).startswith(OVER):
                raise AirflowFailException(failure(self.airbyte_job_id, str(error))) from error
            raise


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
