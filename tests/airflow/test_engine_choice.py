"""The engine decision is a pure function of volume, history, prices and request, and says why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketplace import decision
from marketplace.engine_choice import (
    ENGINE_FAILED,
    ENGINES,
    POLICIES,
    SUCCESS,
    Decision,
    Parameters,
    PastRun,
    Pending,
    Price,
    choose_engine,
    fails_at,
    other,
    predict_seconds,
    total,
)

from stack import bigquery, ledger
from stack.settings import Settings

MILLION = 1_000_000
GIB = 2**30
# What the two engines take here: dbt 10 s and 1 s per 100,000 rows, Spark 60 s and 0.1 s.
SEED = [
    PastRun("dbt", 0, 10),
    PastRun("dbt", MILLION, 20),
    PastRun("spark", 0, 60),
    PastRun("spark", MILLION, 61),
]


def waiting(rows: int | None, size: int | None = 0) -> dict[str, Pending]:
    """All of the pending rows in one table."""
    return {"int_orders_usd": Pending(rows, size)}


def choose(rows: int | None, threshold: int = MILLION, **wishes: object) -> Decision:
    """By volume alone, unless told otherwise."""
    return choose_engine(waiting(rows), Parameters(threshold, **wishes))


def failed(engine: str, rows: int | None) -> PastRun:
    return PastRun(engine, rows, 5, ENGINE_FAILED)


@pytest.mark.parametrize(("rows", "engine"), [(0, "dbt"), (999_999, "dbt"), (MILLION, "spark"), (1_000_001, "spark")])
def test_the_threshold_itself_is_spark_and_one_below_is_dbt(rows: int, engine: str) -> None:
    assert choose(rows).engine == engine


def test_a_sweep_of_scales_flips_once_and_where_the_threshold_says() -> None:
    """Scale 1 is a quarter of a million rows of the heavy tables."""
    scales = [step / 100 for step in range(1, 1001)]
    engines = {scale: choose(round(250_000 * scale)).engine for scale in scales}
    assert [scale for scale in scales if engines[scale] == "spark"] == [scale for scale in scales if scale >= 4]


def test_rows_of_all_heavy_tables_count_together() -> None:
    pending = {"int_orders_usd": Pending(600_000), "int_payments_deduplicated": Pending(400_000)}
    assert choose_engine(pending, Parameters(MILLION)).rows == MILLION
    assert choose_engine(pending, Parameters(MILLION)).engine == "spark"


def test_the_reason_names_volume_and_threshold() -> None:
    assert choose(1_200_000).reason == "spark: 1,200,000 rows pending, the threshold is 1,000,000"
    assert choose(7).reason == "dbt: 7 rows pending, fewer than the threshold of 1,000,000"


def test_the_reason_ends_with_what_each_engine_is_expected_to_take() -> None:
    decision = choose_engine(waiting(7), Parameters(MILLION), seed=SEED)
    assert decision.reason.endswith("fewer than the threshold of 1,000,000 (expected: dbt 10 s, spark 60 s)")
    priced = choose_engine(waiting(0, GIB), Parameters(MILLION), (), {"spark": Price(per_hour=36.0)}, SEED)
    assert priced.reason.endswith("(expected: dbt 10 s and 0.0000, spark 60 s and 0.6000)")


@pytest.mark.parametrize("pending", [None, waiting(None), {"a": Pending(1), "b": Pending(None)}])
def test_an_unknown_volume_is_sparks_and_predicts_nothing(pending: dict[str, Pending] | None) -> None:
    decision = choose_engine(pending, Parameters(MILLION, policy="cost"), seed=SEED)
    assert (decision.engine, decision.rows, decision.predictions) == ("spark", None, {})
    assert "unknown" in decision.reason


def test_spark_is_left_only_a_tenth_below_the_threshold() -> None:
    on_spark, on_dbt = [PastRun("spark", 5, 60)], [PastRun("spark", 5, 60), PastRun("dbt", 5, 10)]
    kept = choose_engine(waiting(900_000), Parameters(MILLION), on_spark)
    assert kept.engine == "spark"
    assert "too little below the threshold of 1,000,000 to leave Spark" in kept.reason
    assert choose_engine(waiting(899_999), Parameters(MILLION), on_spark).engine == "dbt"
    assert choose_engine(waiting(900_000), Parameters(MILLION), on_dbt).engine == "dbt"
    assert choose_engine(waiting(MILLION), Parameters(MILLION), on_dbt).engine == "spark"
    assert choose_engine(waiting(999_999), Parameters(MILLION, hysteresis=0.0), on_spark).engine == "dbt"


def test_the_engine_that_is_not_left_is_the_last_one_that_managed() -> None:
    # Spark's failure is at more rows than wait now.
    history = [PastRun("dbt", 5, 10), failed("spark", MILLION)]
    assert choose_engine(waiting(950_000), Parameters(MILLION), history).engine == "dbt"


def test_volumes_round_the_threshold_do_not_flap() -> None:
    history: list[PastRun] = []
    for rows in (990_000, 1_010_000, 990_000, 1_010_000, 990_000):
        history.append(PastRun(choose_engine(waiting(rows), Parameters(MILLION), history).engine, rows, 30))
    assert [run.engine for run in history] == ["dbt", "spark", "spark", "spark", "spark"]


def test_without_prices_cost_goes_by_seconds() -> None:
    small = choose_engine(waiting(MILLION), Parameters(1, policy="cost"), seed=SEED)
    large = choose_engine(waiting(10 * MILLION), Parameters(10**9, policy="cost"), seed=SEED)
    assert (small.engine, large.engine) == ("dbt", "spark")
    assert small.reason.startswith("dbt: quicker, at the same price (expected: dbt 20 s, spark 61 s)")


def test_with_prices_cost_goes_by_money() -> None:
    bytes_only = {"dbt": Price(per_tib=6.25), "spark": Price(per_hour=0.7)}
    few = choose_engine(waiting(MILLION, GIB), Parameters(1, policy="cost"), (), bytes_only, SEED)
    many = choose_engine(waiting(MILLION, 10 * GIB), Parameters(1, policy="cost"), (), bytes_only, SEED)
    assert (few.engine, many.engine) == ("dbt", "spark")
    assert many.reason.startswith("spark: cheaper")
    assert many.predictions["dbt"].money == pytest.approx(6.25 * 10 / 1024, abs=1e-5)


def test_cost_leaves_the_last_engine_only_for_a_tenth() -> None:
    seed = [PastRun("dbt", 100, 100), PastRun("spark", 100, 95)]
    stays = choose_engine(waiting(100), Parameters(1, policy="cost"), [PastRun("dbt", 100, 100)], seed=seed)
    assert stays.engine == "dbt"
    assert "spark is too little quicker, at the same price to leave dbt" in stays.reason
    assert choose_engine(waiting(100), Parameters(1, policy="cost"), seed=seed).engine == "spark"


@pytest.mark.parametrize("seed", [[], [PastRun("dbt", 0, 10)], [PastRun("spark", None, 10)]])
def test_cost_without_a_prediction_for_each_engine_goes_by_volume(seed: list[PastRun]) -> None:
    decision = choose_engine(waiting(MILLION), Parameters(MILLION, policy="cost"), seed=seed)
    assert decision.engine == "spark"
    assert "by volume, as one engine's cost cannot be predicted yet" in decision.reason


def test_unknown_bytes_with_a_price_by_bytes_cannot_be_predicted() -> None:
    prices = {"dbt": Price(per_tib=6.25)}
    assert set(choose_engine(waiting(5, None), Parameters(9), (), prices, SEED).predictions) == {"spark"}


@pytest.mark.parametrize("policy", POLICIES)
def test_an_engine_that_failed_at_this_volume_is_not_asked_again(policy: str) -> None:
    history = [failed("spark", 2 * MILLION)]
    at = choose_engine(waiting(20 * MILLION), Parameters(MILLION, policy=policy), history, seed=SEED)
    assert at.engine == "dbt"
    assert at.reason.startswith("dbt: spark failed at this volume or less before (else spark: ")
    below = choose_engine(waiting(2 * MILLION - 1), Parameters(MILLION), history)
    assert below.engine == "spark"


def test_a_failure_is_forgotten_after_a_success_at_its_volume_and_after_twenty_runs() -> None:
    history = [failed("spark", 5), PastRun("spark", 4, 60)]
    assert fails_at("spark", 5, history)
    assert not fails_at("spark", 5, [*history, PastRun("spark", 5, 60)])
    assert fails_at("spark", 5, [failed("spark", 5), *[PastRun("dbt", 9, 10)] * 19])
    assert not fails_at("spark", 5, [failed("spark", 5), *[PastRun("dbt", 9, 10)] * 20])
    assert fails_at("spark", None, history)


def test_a_success_at_an_unknown_volume_forgives_no_failure() -> None:
    assert fails_at("spark", 5, [failed("spark", 5), PastRun("spark", None, 60)])


def test_where_both_engines_failed_the_policy_decides() -> None:
    assert choose_engine(waiting(5), Parameters(9), [failed("spark", 1), failed("dbt", 1)]).engine == "dbt"


def test_a_prediction_is_a_line_through_the_runs() -> None:
    assert predict_seconds("dbt", 500_000, SEED) == pytest.approx(15)
    assert predict_seconds("dbt", 500_000, [PastRun("dbt", 7, 12)]) == 12
    assert predict_seconds("spark", 5, [PastRun("dbt", 7, 12)]) is None
    # Noise never makes more rows quicker.
    assert predict_seconds("dbt", 10**9, [PastRun("dbt", 0, 12), PastRun("dbt", 10, 10)]) == pytest.approx(
        10.8, abs=0.1
    )


def test_no_prediction_is_made_of_a_run_that_failed_or_of_one_whose_volume_is_unknown() -> None:
    """A failure after five seconds would make the engine that fails the quick one."""
    history = [failed("spark", MILLION), PastRun("spark", None, 5)]
    assert predict_seconds("spark", MILLION, history) is None
    assert predict_seconds("spark", MILLION, history, SEED) == pytest.approx(61)
    assert predict_seconds("spark", MILLION, (), [*SEED, *history]) == pytest.approx(61)


def test_only_the_latest_runs_are_fitted() -> None:
    """As of a machine that has become quicker."""
    history = [PastRun("dbt", MILLION, 400)] * 40 + [PastRun("dbt", MILLION, 20)] * 20
    assert predict_seconds("dbt", MILLION, history) == pytest.approx(20)


def test_a_slower_machine_scales_the_seed_and_its_own_runs_make_the_line_its_own() -> None:
    assert predict_seconds("dbt", MILLION, [PastRun("dbt", 0, 30)], SEED) == pytest.approx(60)
    steeper = [PastRun("dbt", n * MILLION, 10 + 100 * n) for n in (0, 1, 2, 4)] * 4
    assert predict_seconds("dbt", 3 * MILLION, steeper, SEED) == pytest.approx(310, rel=0.1)


def test_three_runs_at_different_volumes_are_believed_more_than_the_seed() -> None:
    own = [PastRun("spark", n * MILLION, 30 + 2 * n) for n in (2, 8, 16)]
    for n in (4, 12, 20):
        assert predict_seconds("spark", n * MILLION, own, decision.seed()) == pytest.approx(30 + 2 * n, rel=0.12)


def test_runs_at_one_volume_leave_the_growth_to_the_seed() -> None:
    own = [PastRun("dbt", MILLION, seconds) for seconds in (38, 40, 41)]
    assert predict_seconds("dbt", MILLION, own, SEED) == pytest.approx(40, rel=0.05)
    assert predict_seconds("dbt", 10 * MILLION, own, SEED) == pytest.approx(220, rel=0.05)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"requested": "duckdb"}, "engine must be one of auto, dbt, spark, not 'duckdb'"),
        ({"policy": "luck"}, "policy must be one of volume, cost, not 'luck'"),
        ({"threshold_rows": -1}, "spark_threshold_rows must not be negative, not -1"),
        ({"hysteresis": 1}, "hysteresis must be from 0 up to 1, not 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(wishes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameters(**{"threshold_rows": 1} | wishes)


ROWS = st.none() | st.integers(0, 10**11)
RUNS = st.lists(
    st.builds(PastRun, st.sampled_from(ENGINES), ROWS, st.floats(0, 10**5), st.sampled_from((SUCCESS, ENGINE_FAILED))),
    max_size=30,
)
TABLES = st.none() | st.dictionaries(st.text(max_size=3), st.builds(Pending, ROWS, ROWS), max_size=4)
PRICES = st.dictionaries(st.sampled_from(ENGINES), st.builds(Price, st.floats(0, 100), st.floats(0, 100)))
WISHES = st.builds(Parameters, st.integers(0, 10**11), st.just("auto"), st.sampled_from(POLICIES), st.floats(0, 0.9))


@given(TABLES, WISHES, RUNS, PRICES, RUNS)
def test_the_same_question_has_the_same_answer_whose_reason_begins_with_the_engine(
    pending: dict[str, Pending] | None, wishes: Parameters, history: list[PastRun], prices: dict, seed: list[PastRun]
) -> None:
    decision = choose_engine(pending, wishes, history, prices, seed)
    assert decision == choose_engine(pending, wishes, list(history), dict(prices), list(seed))
    assert decision.reason.startswith(f"{decision.engine}: ")
    assert all(each.seconds >= 0 and each.money >= 0 for each in decision.predictions.values())


@given(TABLES, WISHES, RUNS, PRICES, RUNS, st.sampled_from(ENGINES))
def test_a_forced_engine_beats_everything(
    pending: dict, wishes: Parameters, history: list, prices: dict, seed: list, engine: str
) -> None:
    decision = choose_engine(pending, dataclasses.replace(wishes, requested=engine), history, prices, seed)
    assert decision.engine == engine
    assert "asked for" in decision.reason


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_more_rows_never_turn_spark_into_dbt(rows: int, more: int, threshold: int) -> None:
    if choose(rows, threshold, hysteresis=0.0).engine == "spark":
        assert choose(rows + more, threshold, hysteresis=0.0).engine == "spark"


@given(TABLES, WISHES, RUNS, PRICES, st.sampled_from(ENGINES), st.none() | st.integers(0, 10**11))
def test_never_the_engine_that_has_just_failed_at_this_volume_or_less(
    pending: dict | None, wishes: Parameters, history: list, prices: dict, engine: str, at: int | None
) -> None:
    rows = total([table.rows for table in pending.values()]) if pending is not None else None
    if rows is not None and (at or 0) > rows:
        return
    history = [*history, failed(engine, at)]
    if not fails_at(other(engine), rows, history):
        assert choose_engine(pending, wishes, history, prices).engine == other(engine)


def test_the_seed_is_of_both_engines_and_each_figure_names_its_source() -> None:
    runs = json.loads((Path(decision.__file__).parent / "engine_seed.json").read_text())["runs"]
    assert {run["engine"] for run in runs} == set(ENGINES)
    for run in runs:
        name, _, place = run["source"].partition(": ")
        source = Path(__file__).parents[2] / name.split(",")[0]
        assert source.is_file()
        if source.suffix == ".json":
            figure = json.loads(source.read_text())
            for key in place.split("."):
                figure = figure[key]
            assert run["seconds"] == round(figure)
    assert predict_seconds("dbt", 250_000, (), decision.seed()) < predict_seconds("spark", 250_000, (), decision.seed())


def test_price_profiles_are_named_or_a_file(tmp_path: Path) -> None:
    assert decision.prices("local") == {"dbt": Price(), "spark": Price()}
    assert decision.prices("google-us")["dbt"].per_tib == 6.25
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"dbt": {"per_hour": 1, "per_tib": 2}, "spark": {"per_hour": 3, "per_tib": 4}}))
    assert decision.prices(str(mine))["spark"] == Price(3, 4)
    mine.write_text(json.dumps({"dbt": {"per_hour": 1, "per_tib": 2}}))
    with pytest.raises(ValueError, match="per_hour and per_tib of each engine are needed: 'spark'"):
        decision.prices(str(mine))
    with pytest.raises(ValueError, match="PRICE_PROFILE must be one of local, google-us or a file, not 'moon'"):
        decision.prices("moon")


@pytest.fixture
def warehouse(emulator: Settings) -> Iterator[Settings]:
    """The session's warehouse without a ledger and without what tells what waits, before and after."""
    tables = (ledger.TABLE, "ops.pending_rows", "raw.choice_test")
    for name in tables:
        bigquery.client(emulator).delete_table(name, not_found_ok=True)
    yield emulator
    for name in tables:
        bigquery.client(emulator).delete_table(name, not_found_ok=True)


def test_a_run_is_decided_by_what_waits_in_the_warehouse_and_by_its_own_parameters(warehouse: Settings) -> None:
    def chosen(**params: object) -> Decision:
        usual = {"engine": "auto", "policy": "volume", "spark_threshold_rows": 4, "full_refresh": False}
        return decision.decide(warehouse, usual | params)

    assert (chosen().engine, chosen().rows) == ("spark", None), "an unknown volume is not an empty one"
    bq = bigquery.client(warehouse)
    bigquery.query(bq, "create table raw.choice_test as select n from unnest([1, 2, 3, 4]) as n")
    view = "select 'int_x' as heavy_model, 'choice_test' as raw_table, 1 as pending_rows"
    bigquery.query(bq, f"create view ops.pending_rows as {view}")
    assert (chosen().engine, chosen().rows) == ("dbt", 1)
    refreshed = chosen(full_refresh=True)
    assert (refreshed.engine, refreshed.rows) == ("spark", 4), "every row is read"
    # At so few rows the quicker one, whatever the threshold.
    assert chosen(full_refresh=True, policy="cost").engine == "dbt"
    assert chosen(engine="spark").engine == "spark"


def test_the_history_is_what_says_something_of_an_engine(warehouse: Settings) -> None:
    for step, status in (
        ("heavy_spark", "failed"),
        ("heavy_spark", ENGINE_FAILED),
        ("fall_back_dbt", SUCCESS),
    ):
        ledger.record(warehouse, ledger.Entry("one", step, None, None, 7.0, status, ""))
    assert decision.history(warehouse) == [
        PastRun("spark", None, 7.0, ENGINE_FAILED),
        PastRun("dbt", None, 7.0, SUCCESS),
    ]
