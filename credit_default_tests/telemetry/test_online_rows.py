"""A day of collected inputs becomes a table of clients under pseudonyms, each once."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from credit_default.core import tables
from credit_default.core.contract import json_rows
from credit_default.errors import UnreadableFile
from credit_default.telemetry.collected_inputs import Request, seal
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key
from credit_default.telemetry.online_rows import as_file, from_file, nothing_asked, online_day
from credit_default_tests.strategies import client, clients

DAY = date(2026, 3, 1)
KEYS = PrivateKeys.read(new_key(), "KEY")


def asked(rows: list[dict], number: int = 1, *, at: datetime | None = None, keys: PrivateKeys = KEYS) -> list[str]:
    """The messages of a request that was made at noon, plus so many seconds as its number says."""
    moment = at or datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=number)
    request = Request(f"{number:032x}", "credit-card-default", "3", moment)
    table, problems = json_rows.check_rows(rows)
    assert problems == []
    return [record.message for record in seal(table, request, PublicKey.read(keys.public(), "PUBLIC_KEY"))]


def test_every_row_arrives_once_under_a_pseudonym():
    found = online_day([*asked(clients(600)), *asked(clients(3, start=600), 2)], DAY, KEYS)
    assert found.table.schema == tables.schema()
    names = found.table["client_id"].to_pylist()
    assert all(re.fullmatch(r"online-[0-9a-f]{64}", name) for name in names)
    assert len(set(names)) == 603
    expected = [{**row, "client_id": None} for row in json_rows.check_rows(clients(603))[0].to_pylist()]
    arrived = [{**row, "client_id": None} for row in found.table.to_pylist()]
    assert sorted(map(json.dumps, arrived)) == sorted(map(json.dumps, expected))
    counts = {"messages": 3, "requests": 2, "rows": 603, "clients": 603, "repeated": 0, "unreadable": 0}
    assert found.counts == counts


def test_what_was_told_last_counts_whatever_the_order_of_arrival():
    first, second, third = (asked([client(0, age=age)], number) for number, age in enumerate((30, 31, 32), 1))
    for messages in ([*first, *second, *third], [*third, *first, *second]):
        found = online_day(messages, DAY, KEYS)
        assert found.table["age"].to_pylist() == [32]
        assert (found.counts["rows"], found.counts["clients"], found.counts["repeated"]) == (3, 1, 2)
    within = online_day(asked([client(0, age=40), client(0, age=41)]), DAY, KEYS)
    assert within.table["age"].to_pylist() == [41]


def test_a_message_that_was_sent_twice_counts_once():
    messages = asked(clients(600))
    assert online_day([*messages, *messages], DAY, KEYS) == online_day(messages, DAY, KEYS)


def test_clients_without_an_id_are_each_somebody():
    rows = [{**client(0), "client_id": None} for _ in range(500)]
    found = online_day([*asked(rows), *asked(rows[:1], 2)], DAY, KEYS)
    names = [f"online-{1:032x}-{row}" for row in range(1, 501)] + [f"online-{2:032x}-1"]
    assert sorted(found.table["client_id"].to_pylist()) == sorted(names)


def test_a_client_is_the_same_one_on_every_day_and_under_a_new_key_put_first():
    def pseudonym(keys: PrivateKeys, **changed) -> str:
        (name,) = online_day(asked([client(0, **changed)], keys=keys), DAY, keys).table["client_id"].to_pylist()
        return name

    old, new = new_key(), new_key()
    alone = PrivateKeys.read(old, "KEY")
    both = PrivateKeys.read(json.dumps({"keys": [json.loads(new), json.loads(old)]}), "KEY")
    assert (
        pseudonym(alone, client_id=17) == pseudonym(alone, client_id=" 17 ", age=50) == pseudonym(both, client_id="17")
    )
    assert pseudonym(alone, client_id="18") != pseudonym(alone, client_id="17") != pseudonym(KEYS, client_id="17")


@pytest.mark.parametrize(
    ("moment", "belongs"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), True),
        (datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC), True),
        (datetime(2026, 3, 2, tzinfo=UTC), False),
        (datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC), False),
        (datetime(2026, 3, 2, 1, tzinfo=timezone(timedelta(hours=2))), True),
    ],
)
def test_a_request_belongs_to_the_day_in_utc_on_which_it_was_made(moment, belongs):
    found = online_day(asked([client(0)], at=moment), DAY, KEYS)
    assert found.counts["messages"] == found.table.num_rows == int(belongs)


def test_messages_that_cannot_be_read_are_counted_and_named_and_the_others_count():
    damaged = json.loads(asked([client(0, client_id="Sentinel")], 2)[0])
    damaged["data"]["rows"] = 7
    foreign = asked([client(1)], 3, keys=PrivateKeys.read(new_key(), "KEY"))
    found = online_day([*asked(clients(2)), json.dumps(damaged), *foreign, "Sentinel"], DAY, KEYS)
    assert (found.counts["messages"], found.counts["rows"], found.counts["unreadable"]) == (4, 2, 3)
    assert [told.split(" cannot")[0] for told in found.unreadable[:2]] == [
        f"Part 1 of request {2:032x}",
        f"Part 1 of request {3:032x}",
    ]
    assert "Sentinel" not in "".join(found.unreadable)


def test_a_message_whose_rows_break_the_contract_does_not_arrive():
    # Anybody who has the public key can seal whatever he wants.
    table = json_rows.check_rows(clients(2))[0]
    forged = table.set_column(table.column_names.index("age"), "age", [[40.0, 7.0]])
    request = Request("f" * 32, "credit-card-default", "3", datetime(2026, 3, 1, tzinfo=UTC))
    messages = [record.message for record in seal(forged, request, PublicKey.read(KEYS.public(), "PUBLIC_KEY"))]
    found = online_day([*asked([client(5)]), *messages], DAY, KEYS)
    assert (found.counts["rows"], found.counts["unreadable"], found.table.num_rows) == (1, 1, 1)
    assert found.unreadable == (f"Part 1 of request {'f' * 32} holds rows that break the contract",)


def test_a_day_without_requests_has_no_rows():
    assert online_day([], DAY, KEYS) == nothing_asked()


def test_a_file_gives_back_its_table_and_another_file_is_refused():
    table = online_day(asked(clients(5)), DAY, KEYS).table
    assert tables.content_hash(from_file(as_file(table), "online.parquet")) == tables.content_hash(table)
    with pytest.raises(UnreadableFile, match=r"^online\.parquet is no Parquet file"):
        from_file(b"age,sex\n1,2\n", "online.parquet")
