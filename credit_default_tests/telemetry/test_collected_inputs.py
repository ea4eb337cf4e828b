"""Rows of requests, sealed into messages and opened again: the same rows, or an error that says nothing of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from credit_default.core.contract import json_rows
from credit_default.errors import UnreadableMessage
from credit_default.telemetry.collected_inputs import Request, open_message, seal
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key
from credit_default.telemetry.records import LONGEST_MESSAGE
from credit_default_tests.strategies import client, client_rows, clients

KEYS = PrivateKeys.read(new_key(), "KEY")
PUBLIC = PublicKey.read(KEYS.public(), "PUBLIC_KEY")
REQUEST = Request("0123456789abcdef" * 2, "credit-card-default", "3", datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC))


def sealed(rows: list[dict]) -> list[str]:
    table, problems = json_rows.check_rows(rows)
    assert problems == []
    return [record.message for record in seal(table, REQUEST, PUBLIC)]


@given(rows=client_rows())
@settings(max_examples=50, deadline=None)
def test_what_is_sealed_and_opened_is_the_same_rows(rows):
    (message,) = sealed(rows)
    part = open_message(message, KEYS)
    assert part.request == REQUEST
    assert (part.number, part.first_row) == (1, 1)
    assert list(part.rows) == json_rows.check_rows(rows)[0].to_pylist()


def incompressible(count: int) -> list[dict]:
    """Clients whose ids are as long as they may be and cannot be compressed."""
    import random

    letters = random.Random(1)
    return [{**row, "client_id": "".join(chr(letters.randrange(0x4E00, 0x9FFF)) for _ in range(1000))}
            for row in clients(count)]  # fmt: skip


@pytest.mark.parametrize("rows", [[], clients(1), clients(1_000), incompressible(40)], ids=len)
def test_a_large_request_becomes_several_messages_none_longer_than_is_kept(rows):
    messages = sealed(rows)
    assert all(len(message) <= LONGEST_MESSAGE for message in messages)
    parts = [open_message(message, KEYS) for message in messages]
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    firsts = [part.first_row for part in parts]
    assert firsts == [1 + sum(len(part.rows) for part in parts[:place]) for place in range(len(parts))]
    assert [row["client_id"] for part in parts for row in part.rows] == [row["client_id"] for row in rows]
    assert (len(parts) > 1) == (len(rows) > 10)


def test_a_message_has_the_shape_that_queries_rely_on_and_a_key_of_its_own():
    table, _ = json_rows.check_rows(clients(1_000))
    records = seal(table, REQUEST, PUBLIC)
    assert len({record.key for record in records}) == len(records) > 1
    told = json.loads(records[0].message)
    assert told.keys() == {"model_name", "type", "data"}
    assert (told["model_name"], told["type"]) == ("credit-card-default", "InputData")
    assert told["data"].keys() == {"request_id", "part", "rows", "model_version", "requested_at", "sealed"}
    assert sum(json.loads(record.message)["data"]["rows"] for record in records) == 1_000


def test_nothing_of_a_client_is_in_clear():
    row = client(0, client_id="Sentinel Client", age=97, bill_amount_1=918273.5, sex="female")
    (record,) = seal(json_rows.check_rows([row])[0], REQUEST, PUBLIC)
    clear = record.message + json.dumps(record.custom_dimensions)
    for value in ("Sentinel", "918273", "female", "university"):
        assert value not in clear
    assert '"97' not in clear


CHANGES = {
    "request_id": "f" * 32,
    "part": 2,
    "rows": 2,
    "model_version": "4",
    "requested_at": "2026-03-02T00:00:00+00:00",
    "sealed": "e30.e30.e30.e30.e30",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_message_that_was_changed_anywhere_is_refused_by_its_request_and_not_quoted(name):
    (message,) = sealed([client(0, client_id="Sentinel Client")])
    told = json.loads(message)
    told["data"][name] = CHANGES[name]
    with pytest.raises(UnreadableMessage, match=r"^Part \d of request [0-9a-f]{32} cannot be opened") as caught:
        open_message(json.dumps(told), KEYS)
    assert "Sentinel" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_sealed_part_of_another_message_does_not_pass():
    messages = [json.loads(message) for message in (*sealed([client(0)]), *sealed(clients(2)))]
    messages[0]["data"]["sealed"] = messages[1]["data"]["sealed"]
    with pytest.raises(UnreadableMessage, match="what stands in clear was changed"):
        open_message(json.dumps(messages[0]), KEYS)


def test_a_message_for_another_key_is_refused_by_its_request():
    (message,) = sealed([client(0)])
    with pytest.raises(UnreadableMessage, match=f"Part 1 of request {REQUEST.request_id} .* not among these"):
        open_message(message, PrivateKeys.read(new_key(), "KEY"))


FOREIGN = [
    "Sentinel",
    "[]",
    "{}",
    '{"data": "Sentinel"}',
    '{"data": {"request_id": "Sentinel", "part": 1}}',
    '{"model_name": "m", "data": {"request_id": "Sentinel", "part": 1, "sealed": "Sentinel"}}',
    '{"model_name": "m", "data": {"request_id": "Sentinel", "part": 1, "sealed": 17}}',
    '{"model_name": "m", "data": {"sealed": "a.b.c.d.e"}}',
]


@pytest.mark.parametrize("message", FOREIGN)
def test_what_is_no_message_of_ours_is_refused_and_not_quoted(message):
    with pytest.raises(UnreadableMessage, match=r"^A collected message ") as caught:
        open_message(message, KEYS)
    assert "Sentinel" not in str(caught.value)


@pytest.mark.parametrize("inside", ["[]", "17", '{"about": {}}', "Sentinel"])
def test_what_somebody_else_sealed_with_the_public_key_is_refused(inside):
    message = {"model_name": "m", "data": {"request_id": "a" * 32, "part": 1, "sealed": PUBLIC.seal(inside.encode())}}
    with pytest.raises(UnreadableMessage, match=f"^Part 1 of request {'a' * 32} "):
        open_message(json.dumps(message), KEYS)
