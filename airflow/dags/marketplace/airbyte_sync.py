"""The sync's two tasks, which may be killed and tried again at any moment like all others."""

from __future__ import annotations

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
    """Starts a sync and returns its job id; of one that runs already, which a try before may have started, the id of that."""

    def __init__(self, **kwargs: Any) -> None:
        """`connection_id` is Airbyte's."""
        super().__init__(airbyte_conn_id=CONNECTION, asynchronous=True, **kwargs)

    def execute(self, context: Any) -> Any:
        """Find or start the job. Raises AirflowException with Airbyte's reason."""
        client = AirbyteHook(airbyte_conn_id=CONNECTION).airbyte_api
        request = api.ListJobsRequest(connection_id=self.connection_id, status=models.JobStatusEnum.RUNNING, limit=1)
        found = client.jobs.list_jobs(request=request).jobs_response
        if found is not None and found.data:
            self.log.info("Job %s runs already", found.data[0].job_id)
            return found.data[0].job_id
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
    """Why a job did not succeed: the errors in the embedded server's log of it, else the beginning of what the provider `said`, which has no reason."""
    path = settings.load().local_dir / "airbyte" / "jobs" / f"{job_id}.log"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    reasons = [line.split(" error: ", 1)[1] for line in lines if " error: " in line]
    return f"Airbyte job {job_id}: {'; '.join(reasons) or said.splitlines()[0].rstrip(': ')}"
