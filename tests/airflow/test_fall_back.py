"""When the other engine steps in: after a failure that is the engine's own, once, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from marketplace import decision
from marketplace.fall_back import FOLLOWING, CannotGoOn, Verdict, what_follows

from stack import dbt
from stack.failures import ENGINE, FINAL, is_final, own_failure
from stack.settings import Settings
from tests.airflow import airflow_python

BROKEN = Verdict("out of memory", True)
WRONG = Verdict("model int_orders_usd: no column currency", False)


def test_a_step_that_worked_goes_on_to_its_gate() -> None:
    assert what_follows("dbt", "success", None, True) == ("intermediate_gate", "not needed")


def test_an_engine_that_broke_is_followed_by_the_other_one() -> None:
    following, reason = what_follows("spark", "failed", BROKEN, True)
    assert (following, reason) == ("fall_back_dbt", "fell back to dbt: spark failed, out of memory")
    assert what_follows("dbt", "failed", BROKEN, True)[0] == "fall_back_spark"


def test_a_step_that_was_killed_before_it_could_say_anything_counts_as_broken() -> None:
    assert what_follows("spark", "failed", None, True)[1] == "fell back to dbt: spark failed, it died without a word"


@pytest.mark.parametrize(
    ("state", "verdict", "is_allowed", "message"),
    [
        ("failed", WRONG, True, "heavy_spark failed and dbt would, too: model int_orders_usd: no column currency"),
        ("failed", BROKEN, False, r"heavy_spark failed \(out of memory\), and the run's parameter fall_back is off"),
        ("upstream_failed", None, True, "no engine ran: heavy_spark is upstream_failed"),
        (None, None, True, "no engine ran: heavy_spark is None"),
    ],
)
def test_everything_else_stops_the_run(state: str, verdict: Verdict | None, is_allowed: bool, message: str) -> None:
    with pytest.raises(CannotGoOn, match=message):
        what_follows("spark", state, verdict, is_allowed)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "Job aborted due to stage failure: Lost task 0.0: java.lang.OutOfMemoryError: Java heap space",
            "out of memory",
        ),
        ("Out of Memory Error: failed to allocate data of size 16.0 MiB (953.6 MiB/953.6 MiB used)", "out of memory"),
        ("Resources exceeded during query execution: The query could not be executed", "out of memory"),
        ("Cannot execute: spark-submit --master local[*]. Error code is: -9.", "killed"),
        ("Bash command failed. The command returned a non-zero exit code 137.", "killed"),
        ("ERROR StandaloneSchedulerBackend: All masters are unresponsive! Giving up.", "the cluster is gone"),
        ("java.io.IOException: No space left on device", "no space for what it spills"),
        (
            "heavy_steps: failed: raw.payments.amount has a value that Spark's tables cannot hold, which is no decimal128(18, 2) (...): build with dbt",
            "a value that its tables cannot hold",
        ),
        ("[INVALID_DRIVER_MEMORY] System memory 3 must be at least 4", "too little memory to start"),
        (f"Bash command failed. The command returned a non-zero exit code {ENGINE}.", "the warehouse gave up"),
        ("Operation did not complete within the designated timeout of 7200 seconds.", "the warehouse gave up"),
        ("Quota exceeded: Your project exceeded quota for query bytes scanned", "its quota is used up"),
        # The data's, the configuration's, or both engines'.
        ("heavy_steps: failed: raw.payments has no column currency: refresh the source's schema and sync", None),
        ("heavy_steps: failed: raw.payments does not exist: run the sync that lands it first", None),
        ("heavy_steps: failed: the warehouse at http://127.0.0.1:9050 does not answer: start it", None),
        ("Bash command failed. The command returned a non-zero exit code 1.", None),
        ("Cannot execute: spark-submit. Error code is: 1.", None),
        ("Could not parse Master URL: 'moon'", None),
        ("", None),
    ],
)
def test_which_failures_are_the_engines_own(text: str, why: str | None) -> None:
    assert own_failure(text) == why


def test_dbt_blames_the_warehouse_only_when_every_model_that_failed_does() -> None:
    assert (
        dbt._exit_status("Out of Memory Error: failed to allocate", "Resources exceeded during query execution") == 75
    )
    assert dbt._exit_status("Out of Memory Error: failed to allocate", "Name currency not found") == FINAL
    assert dbt._exit_status() == FINAL


def test_dbt_may_be_tried_again_when_the_warehouse_did_not_answer() -> None:
    assert dbt._exit_status("Name currency not found", "HTTPConnectionPool: Max retries exceeded with url: /jobs") == 1
    for said in (
        "Could not serialize access to table a:b.c due to concurrent update",
        "500 An internal error occurred and the request could not be completed. Retrying the job may solve the problem.",
        "503 GET https://bigquery.googleapis.com/x: Service Unavailable",
        "502 POST https://bigquery.googleapis.com/x: Bad Gateway",
        "HTTPSConnectionPool(host='bigquery.googleapis.com', port=443): Read timed out. (read timeout=None)",
        "Exceeded rate limits: too many table update operations for this table.",
        "Resources exceeded during query execution: Too many DML statements outstanding against table a:b.c, limit is 20.",
    ):
        assert dbt._exit_status(said, "Name currency not found") == 1, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Bash command failed. The command returned a non-zero exit code {FINAL}.", True),
        (f"Cannot execute: spark-submit. Error code is: {FINAL}.", True),
        ("Bash command failed. The command returned a non-zero exit code 1.", False),
        (f"Bash command failed. The command returned a non-zero exit code {FINAL}9.", False),
    ],
)
def test_which_failures_another_try_cannot_mend(text: str, expected: bool) -> None:
    assert is_final(text) is expected


@pytest.fixture(scope="module")
def verdicts(emulator: Settings) -> dict:
    """What the heavy operators say of real failures, by case, under Airflow's own environment."""
    return airflow_python.run(Path(__file__).parent / "heavy_operators.py")


@pytest.mark.parametrize(
    ("case", "error", "verdict"),
    [
        ("dbt works", None, None),
        ("dbt is killed", "EngineFailed", {"reason": "killed", "is_engines_own": True}),
        ("dbt hangs", "EngineFailed", {"reason": "not done after 7,200 s", "is_engines_own": True}),
        ("dbt's warehouse gives up", "EngineFailed", {"reason": "the warehouse gave up", "is_engines_own": True}),
        (
            "spark has too little memory",
            "EngineFailed",
            {"reason": "too little memory to start", "is_engines_own": True},
        ),
    ],
)
def test_a_heavy_operator_tells_an_engines_failure(verdicts: dict, case: str, error: str | None, verdict: dict) -> None:
    assert verdicts[case] == {"error": error, "verdict": verdict}


@pytest.mark.parametrize(
    "case",
    [
        "dbt's model is wrong",
        "spark's application is not there",
        "spark's data are wrong",
        "spark is ended by somebody",
    ],
)
def test_a_heavy_operator_leaves_the_datas_and_the_configurations_failures_as_they_are(
    verdicts: dict, case: str
) -> None:
    assert verdicts[case]["error"] not in (None, "EngineFailed")
    assert verdicts[case]["verdict"]["is_engines_own"] is False


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("dbt's model is wrong", "AirflowFailException"),
        ("dbt's warehouse does not answer", "AirflowException"),
        ("a gate is red", "AirflowFailException"),
        ("a gate cannot judge", "AirflowException"),
        ("spark's data are wrong", "AirflowFailException"),
        ("a sync is stuck", "AirflowFailException"),
    ],
)
def test_only_what_another_try_may_mend_is_tried_again(verdicts: dict, case: str, error: str) -> None:
    assert verdicts[case]["error"] == error


def test_a_run_goes_on_with_its_own_job_and_ends_one_that_ran_before_it_began(verdicts: dict) -> None:
    ours = {name: [1, []] for name in ("own", "pending", "queued", "incomplete")}
    assert verdicts["triggered"] == ours | {"none": ["a new one", []], "older": ["a new one", [1]]}


def test_a_wait_survives_an_airbyte_that_is_restarted_and_not_one_that_is_gone(verdicts: dict) -> None:
    assert verdicts["outages"] == {
        "short": [False, False, False, True],
        "long": [False, False, "cannot be asked", True],
    }


def test_what_a_heavy_operator_waited_for_too_long_does_not_run_on(verdicts: dict) -> None:
    assert verdicts["hangs on"] is False


def test_a_failure_alerts_once_and_the_ledger_tells_an_engines_failure_from_others(verdicts: dict) -> None:
    assert verdicts["told"] == {
        "alerts": ["heavy_spark", "fall_back_dbt", "marts", "gone"],
        "ledger": {
            "heavy_spark": ["engine failed", "spark"],
            "fall_back_dbt": ["engine failed", "dbt"],
            "marts": ["failed", None],
            "fall_back": ["failed", None],
            "gone": ["failed", None],
        },
    }


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            "a gate is red",
            "raw.orders: 2 keys are there twice (Bash command failed. The command returned a non-zero exit code 65.)",
        ),
        ("a gate cannot judge", "Bash command failed. The command returned a non-zero exit code 1."),
        (
            "dbt's model is wrong",
            "5 models, 1 of 3 tests passed; failed: unique_a, b (Bash command failed. The command returned a non-zero exit code 65.)",
        ),
        ("a sync is stuck", "Airbyte job 7: not done after 7,200 s"),
    ],
)
def test_a_failure_says_what_the_program_said(verdicts: dict, case: str, text: str) -> None:
    assert verdicts["texts"][case] == text


def test_sparks_failure_says_what_the_job_said(verdicts: dict) -> None:
    """Not the whole command, as the provider does."""
    text = verdicts["texts"]["spark has too little memory"]
    assert text.startswith("too little memory to start: heavy_steps: failed: Spark: ")
    assert "[INVALID_DRIVER_MEMORY] System memory" in text
    assert verdicts["texts"]["spark's data are wrong"] == "heavy_steps: failed: raw.payments does not exist"


def test_a_sync_that_failed_says_why_where_that_is_known(verdicts: dict) -> None:
    assert verdicts["syncs"] == [
        "Airbyte job 7: stream a stops; stream b stops",
        "Airbyte job 8: Job failed: see the job in Airbyte",
        "Airbyte job 7: Job was cancelled: see the job in Airbyte",
    ]


def test_a_run_that_stopped_before_the_choice_cannot_go_on(settings: Settings) -> None:
    with pytest.raises(CannotGoOn, match="no engine was chosen"):
        decision.follow_up(settings, None, None, True)


class TaskInstance:
    """The part of one by which a task asks for what others did, and says what it decided."""

    dag_id, run_id, task_id = "a_dag", "a_run", "a_task"

    def __init__(self, states: dict[str, str] | None = None, **xcoms: Any) -> None:
        self._states, self._xcoms = states or {}, xcoms
        self.pushed: dict[str, Any] = {}

    def get_task_states(self, task_ids: list[str], **_: Any) -> dict[str, dict[str, str]]:
        return {self.run_id: {task: state for task, state in self._states.items() if task in task_ids}}

    def xcom_pull(self, task_ids: str, **_: Any) -> Any:
        return self._xcoms.get(task_ids)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def test_a_fall_back_says_whose_step_is_next_and_may_be_forbidden(settings: Settings) -> None:
    """The ledger takes the engine of what follows from it."""
    chosen = {"engine": "spark"}
    broken = TaskInstance({"heavy_spark": "failed"}, heavy_spark={"reason": "killed", "is_engines_own": True})
    assert decision.follow_up(settings, broken, chosen, True) == "fall_back_dbt"
    assert broken.pushed == {"reason": "fell back to dbt: spark failed, killed", FOLLOWING: "fall_back_dbt"}
    with pytest.raises(CannotGoOn, match="parameter fall_back is off"):
        decision.follow_up(settings, broken, chosen, False)
    worked = TaskInstance({"heavy_spark": "success"})
    assert decision.follow_up(settings, worked, chosen, True) == "intermediate_gate"
    assert worked.pushed == {"reason": "not needed", FOLLOWING: "intermediate_gate"}


@pytest.mark.parametrize("step", ["staging", "intermediate_gate", "marts"])
def test_a_person_is_asked_when_a_test_of_any_step_warned_and_the_run_wants_it(settings: Settings, step: str) -> None:
    said = {name: json.dumps({"warned": []}) for name in ("staging", "intermediate_gate", "marts")}
    assert decision.review(settings, TaskInstance(**said), True) == "publish"
    warned = said | {step: json.dumps({"warned": ["late_orders", "few_orders"]})}
    asking = TaskInstance(**warned)
    assert decision.review(settings, asking, True) == "approve"
    assert asking.pushed == {"reason": "2 tests warned: late_orders, few_orders"}
    assert decision.review(settings, TaskInstance(**warned), False) == "publish"
