"""Clients from landed files to their outcomes, through the steps themselves: their ids meet, or somebody is told."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from credit_default.core import tables
from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.promotion.holdout_rows import ROWS, holdout_rows
from credit_default.core.schema import AS_OF, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.steps import curated_data, inference_data, outcomes, performance
from credit_default_tests.steps.days import Lake
from credit_default_tests.strategies import clients, write_csv, write_parquet

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"


@pytest.fixture
def lake(tmp_path):
    return tmp_path


@pytest.fixture
def take_in(lake, capsys):
    """Take in what landed; returns results by day, and what was said."""

    def take_in(step, *days):
        name = step.__name__.rsplit(".", 1)[-1]
        step.main(["--landing", str(lake / f"landing/{name}"), "--days", ",".join(days), "--output", str(lake / name)])
        said = capsys.readouterr()
        return {line["partition"]: line["result"] for line in map(json.loads, said.out.splitlines())}, said.err

    return take_in


@pytest.fixture
def judge(lake, capsys):
    """Score a day and measure it; returns the result and what was said."""

    def judge(day):
        table = tables.read(lake / f"inference_data/{day}/inference_data.parquet")
        with_target = table.append_column(TARGET, pa.array([0] * table.num_rows, pa.int8()))
        Lake(lake / "scored").day(day, with_target, "a" * 64)
        folders = ["--predictions", str(lake / "scored/predictions"), "--outcomes", str(lake / "outcomes")]
        performance.main([*folders, "--days", day, "--output", str(lake / "performance")])
        said = capsys.readouterr()
        return json.loads(said.out)["result"], said.err

    return judge


def curate(lake, capsys):
    folders = ["--landing", str(lake / "none"), "--inference-data", str(lake / "inference_data")]
    curated_data.main([*folders, "--outcomes", str(lake / "outcomes"), "--output", str(lake)])
    capsys.readouterr()
    return tables.read(lake / "curated_data.parquet")


def with_ids(ids):
    return [{**row, CLIENT_ID: client} for row, client in zip(clients(len(ids)), ids, strict=True)]


def test_a_client_is_the_same_in_scored_files_and_in_outcomes_however_they_are_written(lake, take_in, judge, capsys):
    write_csv(lake / f"landing/inference_data/{DAY}/a.csv", with_ids(["1001.0", "1002", " 1003 ", "1.004e3"]))
    write_parquet(lake / f"landing/inference_data/{DAY}/b.parquet", with_ids([1005.0, 1006.0])[:2])
    ids = pa.array([Decimal(number) for number in range(1001, 1007)], pa.decimal128(38, 0))
    known = pa.table({CLIENT_ID: ids, TARGET: pa.array([0, 1, 0, 1, 0, 1])})
    write_parquet(lake / f"landing/outcomes/{DAY}/o.parquet", known)
    for step in (inference_data, outcomes):
        take_in(step, DAY)

    result, said = judge(DAY)

    assert (result["n_joined"], result["joined_share"], result["warning"]) == (6, 1.0, None)
    assert "Warning" not in said
    assert curate(lake, capsys).filter(pa.compute.is_valid(pa.compute.field(AS_OF))).num_rows == 6


def test_a_day_whose_outcomes_do_not_join_is_loud(lake, take_in, judge):
    write_csv(lake / f"landing/inference_data/{DAY}/a.csv", with_ids([f"A-{number}" for number in range(30)]))
    write_csv(
        lake / f"landing/outcomes/{DAY}/o.csv",
        [{CLIENT_ID: "A-1" if number == 0 else f"B-{number}", TARGET: 0} for number in range(30)],
    )
    for step in (inference_data, outcomes):
        take_in(step, DAY)

    result, said = judge(DAY)

    assert (result["n_joined"], result["joined_share"]) == (1, pytest.approx(1 / 30))
    assert result["warning"].startswith("1 of 30 outcomes has a prediction; expected most of them.")
    assert f"Warning: {DAY}: 1 of 30 outcomes has a prediction" in said


def test_ids_that_look_like_a_column_of_ids_are_pointed_out_and_refused_in_outcomes(lake, take_in):
    rows = [{"Customer_ID" if name == CLIENT_ID else name: value for name, value in row.items()} for row in clients(3)]
    write_csv(lake / f"landing/inference_data/{DAY}/a.csv", rows)
    write_csv(lake / f"landing/outcomes/{DAY}/o.csv", [{"Customer_ID": 1, TARGET: 0}])

    results, said = take_in(inference_data, DAY)
    assert results[DAY]["rows_without_client_id"] == 3
    assert results[DAY]["id_like_columns"] == ["Customer_ID"]
    assert f"Warning: {DAY}: no id column in some files, and Customer_ID looks like one" in said
    assert "3 of 3 accepted rows have ids made of day, file and row" in said
    results, said = take_in(outcomes, DAY)
    assert results == {}
    assert "o.csv: missing column client_id (Customer_ID looks like one: name it client_id)" in said


def test_of_many_columns_that_look_like_ids_the_first_are_named_and_the_others_counted(lake, take_in):
    (row,) = clients(1)
    del row[CLIENT_ID]
    write_csv(lake / f"landing/inference_data/{DAY}/a.csv", [{**row, **{f"id {n:02}": n for n in range(23)}}])

    results, said = take_in(inference_data, DAY)

    assert results[DAY]["id_like_columns"] == [f"id {n:02}" for n in range(20)]
    assert results[DAY]["id_like_columns_count"] == 23
    assert "id 19 and 3 more look like one" in said
    assert "1 of 1 accepted row has an id made of day, file and row" in said


def test_rows_without_an_id_are_other_clients_every_day_and_judge_a_challenger(lake, take_in, capsys):
    """Files of one name every day, without ids, whose outcomes name clients as the predictions did."""
    days, a_day = 40, 200
    arriving = arrivals()
    calendar = [str(date(2026, 1, 1) + timedelta(days=day)) for day in range(days)]
    for number, day in enumerate(calendar):
        rows = arriving.slice(number * a_day, a_day)
        plain = {name: rows[name].cast(pa.string()) for name in FEATURE_NAMES}
        (lake / f"landing/inference_data/{day}").mkdir(parents=True)
        arrow_csv.write_csv(pa.table(plain), lake / f"landing/inference_data/{day}/clients.csv")
    results, _ = take_in(inference_data, *calendar)
    assert sum(result["rows_without_client_id"] for result in results.values()) == days * a_day
    for number, day in enumerate(calendar):
        ids = tables.read(lake / f"inference_data/{day}/inference_data.parquet")[CLIENT_ID]
        known = pa.table({CLIENT_ID: ids, TARGET: arriving[TARGET].slice(number * a_day, a_day)})
        write_parquet(lake / f"landing/outcomes/{day}/o.parquet", known)
    take_in(outcomes, *calendar)

    curated = curate(lake, capsys)

    assert curated.num_rows == len(set(curated[CLIENT_ID].to_pylist())) == development_clients().num_rows + days * a_day
    champion = prepare(curated.filter(pa.compute.is_null(curated[AS_OF])), curated_data_version="1")
    challenger = prepare(curated, curated_data_version="2", recent_rows=ROWS)
    for made in (champion, challenger):
        made.write(lake / made.version)
    judged = holdout_rows(lake / challenger.version, lake / champion.version)
    assert judged.num_rows == ROWS
    assert judged[AS_OF].null_count == 0
