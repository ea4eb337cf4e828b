from __future__ import annotations

import os
from datetime import date, timedelta

import pyarrow.compute as pc
import pytest

from credit_default.core import tables
from credit_default.core.contract.contract import accept
from credit_default.core.data.sample import arrivals, bundled_clients, development_clients, write_sample
from credit_default.core.schema import AMOUNTS, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.errors import DayError

UNTIL = date(2026, 3, 31)


def counted(column):
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(bundled_clients()[column]).to_pylist()}


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    return tmp_path_factory.mktemp("lake") / "landing"


@pytest.fixture(scope="module")
def summary(landing):
    return write_sample(landing, until=UNTIL)


@pytest.fixture(scope="module")
def days(landing, summary):
    """Accepted rows of each day, by the contract that they will meet."""
    folder = landing / "inference" / "batch"
    return {day: accept([folder / str(day) / "clients.csv"], dataset="inference") for day in summary.days}


class TestBundledClients:
    def test_they_are_the_published_table(self):
        clients = bundled_clients()

        assert clients.num_rows == 30_000
        assert pc.sum(clients[TARGET]).as_py() == 6_636
        assert counted("sex") == {"male": 11_888, "female": 18_112}
        assert counted("education") == {
            "graduate_school": 10_585,
            "university": 14_030,
            "high_school": 4_917,
            "others": 123 + 14 + 280 + 51,
        }
        assert counted("marriage") == {"married": 13_659, "single": 15_964, "others": 323 + 54}
        assert pc.mean(clients["age"]).as_py() == pytest.approx(35.4855)
        assert pc.mean(clients["credit_limit"]).as_py() * 20 == pytest.approx(167_484.32, abs=0.005)

    def test_they_have_the_curated_schema_and_nothing_is_missing(self):
        clients = bundled_clients()

        assert clients.schema.equals(tables.schema(target=True, source=True))
        assert not any(column.null_count for column in clients.columns)
        assert clients[CLIENT_ID].to_pylist()[:2] == ["1", "2"]

    def test_the_first_client_is_told_as_the_source_tells_it(self):
        (first,) = bundled_clients().slice(0, 1).to_pylist()

        assert (
            first
            | {
                "sex": "female",
                "education": "university",
                "marriage": "married",
                "credit_limit": 1000.0,
                "age": 24.0,
                "repayment_status_1": "delay_2_months",
                "repayment_status_2": "delay_2_months",
                "repayment_status_3": "duly_paid",
                "repayment_status_6": "duly_paid",
                "bill_amount_1": 3913 / 20,
                "payment_amount_2": 689 / 20,
                TARGET: 1,
            }
            == first
        )

    def test_no_client_is_both_for_development_and_an_arrival(self):
        development, arriving = (set(part[CLIENT_ID].to_pylist()) for part in (development_clients(), arrivals()))

        assert len(development) == len(arriving) == 15_000
        assert not development & arriving


class TestWrittenSample:
    def test_a_month_ends_on_the_last_day_that_was_asked_for(self, summary):
        assert summary.days == tuple(UNTIL - timedelta(days=back) for back in range(29, -1, -1))
        assert summary.shifted_days == summary.days[18:]
        assert (summary.rows, summary.outcomes) == (15_000, 9_000)

    def test_every_arrival_comes_on_one_day_and_keeps_the_contract(self, days):
        arrived = [client for day in days.values() for client in day.table[CLIENT_ID].to_pylist()]

        assert sorted(arrived) == sorted(arrivals()[CLIENT_ID].to_pylist())
        assert {day.table.num_rows for day in days.values()} == {500}
        assert not any(day.counts["rejected"] or day.counts["extra_columns"] for day in days.values())

    def test_amounts_come_in_ntd_from_the_nineteenth_day_and_nothing_else_changes(self, days, summary):
        everyone = {row[CLIENT_ID]: row for row in arrivals().to_pylist()}

        for number, day in enumerate(summary.days, start=1):
            factor = 20 if number >= 19 else 1
            row = days[day].table.slice(7, 1).to_pylist()[0]
            source = everyone[row[CLIENT_ID]]
            for name in FEATURE_NAMES:
                assert row[name] == (pytest.approx(source[name] * factor) if name in AMOUNTS else source[name])

    def test_outcomes_are_there_for_the_days_before_the_shift_and_for_no_other(self, landing, summary, days):
        folder = landing / "outcomes"
        truth = dict(zip(*(bundled_clients()[name].to_pylist() for name in (CLIENT_ID, TARGET)), strict=True))

        assert sorted(path.name for path in folder.iterdir()) == [str(day) for day in summary.days[:18]]
        for day in summary.days[:18]:
            outcomes = accept([folder / str(day) / "outcomes.csv"], dataset="outcomes").table
            assert outcomes[CLIENT_ID].to_pylist() == days[day].table[CLIENT_ID].to_pylist()
            assert all(truth[row[CLIENT_ID]] == row[TARGET] for row in outcomes.to_pylist())

    def test_a_second_call_touches_no_file_and_a_changed_one_is_put_right(self, landing, summary):
        changed, *_ = summary.written
        before = {path: path.read_bytes() for path in summary.written}
        users_own = changed.with_name("mine.csv")
        users_own.write_text("mine")
        for path in before:
            os.utime(path, (0, 0))
        changed.write_text("changed")

        again = write_sample(landing, until=UNTIL)

        assert again.written == (changed,)
        assert {path: path.read_bytes() for path in before} == before
        assert {path.stat().st_mtime for path in before if path != changed} == {0}
        assert users_own.read_text() == "mine"
        users_own.unlink()


def test_a_small_sample_shares_its_rows_out_evenly(tmp_path):
    summary = write_sample(tmp_path, until=UNTIL, days=4, shift_from_day=3, rows=10)

    sizes = [len(path.read_text().splitlines()) - 1 for path in sorted(tmp_path.glob("inference/batch/*/clients.csv"))]
    assert sum(sizes) == summary.rows == 10
    assert max(sizes) - min(sizes) <= 1
    assert len(list(tmp_path.glob("outcomes/*/outcomes.csv"))) == 2


@pytest.mark.parametrize("wrong", [{"days": 0}, {"rows": 5}, {"rows": 15_001}])
def test_impossible_samples_are_refused(tmp_path, wrong):
    with pytest.raises(DayError, match="expected at least 1 day"):
        write_sample(tmp_path, until=UNTIL, **wrong)
