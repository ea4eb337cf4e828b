"""The export of what online endpoints were asked: each day on its own, and no file written or lost without need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from credit_default.core.contract import json_rows
from credit_default.defs.assets import online_inputs
from credit_default.defs.automation.jobs import export_online_inputs
from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.errors import PartialAnswer, QueryError
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.settings import read
from credit_default.telemetry.collected_inputs import Request, seal
from credit_default.telemetry.collection_key import private_keys
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key
from credit_default.telemetry.records import TraceRecord
from credit_default_tests.defs.conftest import Landing
from credit_default_tests.strategies import client, clients

DAYS = ["2026-01-30", "2026-01-31", "2026-02-01"]
NOON = {day: datetime.fromisoformat(f"{day}T12:00:00+00:00") for day in DAYS}


@dataclass
class Sent:
    """Messages and when each was sent; no more than so many are answered at once, and nothing about a broken day."""

    rows: list[tuple[datetime, str]] = field(default_factory=list)
    most: int = 1_000_000
    broken: str = ""
    error: Exception = field(default_factory=lambda: QueryError("Azure Monitor does not run this query: no"))

    def query(self, since: datetime, until: datetime) -> list[dict[str, Any]]:
        if since.date().isoformat() == self.broken:
            raise self.error
        found = [{"message": message} for moment, message in self.rows if since <= moment <= until]
        if len(found) > self.most:
            raise PartialAnswer("Azure Monitor ran this query in part only: too many rows; ask for less")
        return found


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_COLLECTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def telemetry(tmp_path, sent) -> LocalTelemetry:
    class Telemetry(LocalTelemetry):
        def query(self, kql, *, since=None, until=None):
            return sent.query(since, until)

    return Telemetry(folder=str(tmp_path / "telemetry"))


@pytest.fixture
def ask(sent):
    """Ask about clients at a moment; telemetry is told of it later."""
    asked = []

    def tell(rows: list[dict], moment: datetime, *, later: float = 5.0, keys: PrivateKeys | None = None) -> None:
        asked.append(moment)
        request = Request(f"{len(asked):032x}", "credit-card-default", "3", moment)
        public = PublicKey.read((keys or private_keys(read())).public(), "PUBLIC_KEY")
        for record in seal(json_rows.check_rows(rows)[0], request, public):
            sent.rows.append((moment + timedelta(seconds=later), record.message))

    return tell


@pytest.fixture
def export(instance, storage, telemetry):
    def run(first=DAYS[0], last=DAYS[-1]):
        definitions = dg.Definitions(
            assets=online_inputs.ASSETS,
            jobs=[export_online_inputs],
            resources={"storage": storage, "telemetry": telemetry},
        )
        return definitions.resolve_job_def("export_online_inputs").execute_in_process(
            instance=instance, raise_on_error=False, tags={RANGE_START: first, RANGE_END: last}
        )

    return run


def landed(storage, day: str):
    path = storage.path(f"landing/inference/batch/{day}/online.parquet")
    return pq.read_table(path) if path.exists() else None


@pytest.fixture
def made(instance):
    """The newest figures of each day."""

    def look() -> dict[str, dict[str, Any]]:
        records = instance.fetch_materializations(dg.AssetKey("online_inputs"), limit=100, ascending=True).records
        events = [record.asset_materialization for record in records]
        return {
            event.partition: {
                "version": event.tags["dagster/data_version"],
                **{name: value.value for name, value in event.metadata.items()},
            }
            for event in events
        }

    return look


def failure(result) -> str:
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description


def test_each_day_gets_what_was_asked_on_it(ask, export, storage, made):
    ask(clients(3), NOON[DAYS[0]])
    ask([client(0, age=40), client(7)], NOON[DAYS[0]] + timedelta(hours=1))
    ask(clients(2), NOON[DAYS[2]])
    assert export().success
    assert [len(table) if table else None for table in (landed(storage, day) for day in DAYS)] == [4, None, 2]
    figures = {name: made()[DAYS[0]][name] for name in ("requests", "rows", "clients", "repeated", "unreadable")}
    assert figures == {"requests": 2, "rows": 5, "clients": 4, "repeated": 1, "unreadable": 0}
    assert {day: found["export"] for day, found in made().items()} == {
        DAYS[0]: "written",
        DAYS[1]: "nothing was asked",
        DAYS[2]: "written",
    }
    assert {day: found["dagster/row_count"] for day, found in made().items()} == dict(zip(DAYS, (4, 0, 2), strict=True))


def test_no_client_is_named_in_what_lands(ask, export, storage):
    ask([client(0, client_id="Sentinel Client")], NOON[DAYS[0]])
    export()
    assert b"Sentinel" not in storage.read(f"landing/inference/batch/{DAYS[0]}/online.parquet")
    assert landed(storage, DAYS[0])["client_id"].to_pylist()[0].startswith("online-")


def test_a_request_belongs_to_the_day_on_which_it_was_made_however_late_telemetry_was_told(ask, export, storage):
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    ask([client(0)], midnight - timedelta(microseconds=1), later=1800)
    ask([client(1)], midnight, later=0)
    export()
    assert [len(landed(storage, day) or ()) for day in DAYS] == [1, 1, 0]


def test_an_export_that_finds_the_same_again_writes_no_file(ask, export, storage, made):
    ask(clients(3), NOON[DAYS[0]])
    export()
    path = storage.path(f"landing/inference/batch/{DAYS[0]}/online.parquet")
    before, version = path.stat(), made()[DAYS[0]]["version"]
    assert export().success
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert (made()[DAYS[0]]["export"], made()[DAYS[0]]["version"]) == ("unchanged", version)


def test_what_is_told_later_replaces_what_was_there(ask, export, storage, made):
    ask(clients(3), NOON[DAYS[0]])
    export()
    ask([client(5)], NOON[DAYS[0]])
    version = made()[DAYS[0]]["version"]
    export()
    assert (made()[DAYS[0]]["export"], len(landed(storage, DAYS[0]))) == ("replaced", 4)
    assert made()[DAYS[0]]["version"] != version


@pytest.mark.parametrize("left", [0, 1])
def test_an_export_that_holds_more_is_kept_when_telemetry_has_forgotten(ask, export, made, sent, left):
    ask(clients(2), NOON[DAYS[0]])
    ask([client(7)], NOON[DAYS[0]])
    export()
    before = made()[DAYS[0]]
    del sent.rows[left:]
    assert export().success
    after = made()[DAYS[0]]
    assert after["export"].startswith(f"kept what an earlier export holds, 3 clients: telemetry has {2 * left} of them")
    assert after["dagster/row_count"] == 3
    assert after["version"] == before["version"]


def test_more_than_is_answered_at_once_is_asked_for_in_pieces(ask, export, storage, sent):
    for number in range(40):
        ask([client(number)], NOON[DAYS[0]] + timedelta(minutes=number))
    sent.most = 7
    assert export(DAYS[0], DAYS[0]).success
    assert len(landed(storage, DAYS[0])) == 40


def test_a_moment_with_more_than_is_ever_answered_fails_its_day_and_no_other(ask, export, storage, sent):
    for number in range(4):
        ask([client(number)], NOON[DAYS[0]])
    ask([client(0)], NOON[DAYS[1]])
    sent.most = 3
    assert f"{DAYS[0]}: online_inputs: Azure Monitor ran this query in part only" in failure(export())
    assert [len(landed(storage, day) or ()) for day in DAYS] == [0, 1, 0]


def test_a_day_that_cannot_be_exported_drops_out_and_the_others_stand(ask, export, sent, made):
    for day in DAYS:
        ask([client(0)], NOON[day])
    sent.broken = DAYS[1]
    told = failure(export())
    assert told.startswith("1 of 3 days failed; the others went on to the end and stand.")
    assert f"{DAYS[1]}: online_inputs: Azure Monitor does not run this query: no" in told
    assert list(made()) == [DAYS[0], DAYS[2]]


def test_an_exception_nobody_planned_for_fails_its_day_without_its_text_and_no_other(ask, export, sent, made):
    for day in DAYS:
        ask(clients(2), NOON[day])
    sent.broken, sent.error = DAYS[1], ValueError("secret-cell")
    result = export()
    assert list(made()) == [DAYS[0], DAYS[2]]
    assert f"{DAYS[1]}: online_inputs: ended in ValueError at credit_default/defs/assets/online_inputs.py" in failure(
        result
    )
    assert "secret-cell" not in failure(result)


def test_messages_that_cannot_be_read_are_counted_and_do_not_stop_the_others(ask, export, made, storage):
    ask([client(0)], NOON[DAYS[0]])
    ask([client(1)], NOON[DAYS[0]], keys=PrivateKeys.read(new_key(), "KEY"))
    assert export().success
    assert (made()[DAYS[0]]["unreadable"], len(landed(storage, DAYS[0]))) == (1, 1)


def test_a_day_of_which_nothing_can_be_read_fails_and_says_which_key_is_expected(ask, export, storage):
    ask([client(0)], NOON[DAYS[0]], keys=PrivateKeys.read(new_key(), "KEY"))
    told = failure(export())
    assert "none of 1 collected message can be read" in told
    assert "CREDIT_DEFAULT_COLLECTION_KEY" in told
    assert landed(storage, DAYS[0]) is None


def test_without_requests_no_key_is_needed_and_none_is_made(export, home):
    assert export().success
    assert not (home / "collection_key.json").exists()


def test_on_azure_a_day_with_requests_fails_without_the_key(ask, export, monkeypatch):
    ask([client(0)], NOON[DAYS[0]])
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "staging")
    told = failure(export())
    assert f"{DAYS[0]}: online_inputs: CREDIT_DEFAULT_COLLECTION_KEY is not set" in told
    assert DAYS[1] not in told


def test_a_file_of_that_name_that_is_none_of_ours_is_left_alone_and_told(ask, export, storage):
    ask([client(0)], NOON[DAYS[0]])
    Landing(storage).put(DAYS[0], "client_id\nA\n", file="online.parquet")
    assert "online.parquet is no Parquet file" in failure(export())
    assert storage.read(f"landing/inference/batch/{DAYS[0]}/online.parquet") == b"client_id\nA\n"


def test_telemetry_is_told_how_many_rows_each_day_had(ask, export, telemetry):
    ask(clients(3), NOON[DAYS[0]])
    export()
    metric = "customMetrics | where name == 'credit_default/online_rows'"
    query = f"{metric} | project value, tostring(customDimensions.partition)"
    told = LocalTelemetry(folder=telemetry.folder).query(query)
    assert sorted(tuple(row.values()) for row in told) == [(0.0, DAYS[1]), (0.0, DAYS[2]), (3.0, DAYS[0])]


def test_the_query_finds_what_was_collected_and_nothing_else(telemetry):
    record = seal(
        json_rows.check_rows([client(0)])[0],
        Request("0" * 32, "credit-card-default", "3", NOON[DAYS[0]]),
        PublicKey.read(private_keys(read()).public(), "PUBLIC_KEY"),
    )[0]
    other = json.dumps({"model_name": "credit-card-default", "type": "OverallDriftMetrics", "data": {}})
    telemetry.emit([record, TraceRecord(other)])
    found = LocalTelemetry(folder=telemetry.folder).query(online_inputs.QUERY)
    assert [row["message"] for row in found] == [record.message]
