"""Schedules under the real SDK: made, listed, switched off and on, removed."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of


@pytest.fixture
def client(azure):
    return client_of(azure)


@pytest.fixture
def nightly(client):
    from azure.ai.ml.entities import CronTrigger, JobSchedule

    schedule = JobSchedule(name="nightly", trigger=CronTrigger(expression="0 3 * * *"), create_job="the-pipeline")
    return client.schedules.begin_create_or_update(schedule).result()


def test_a_schedule_is_kept_as_it_was_made(client, nightly):
    found = client.schedules.get("nightly")
    assert found.trigger.expression == "0 3 * * *"
    assert found.is_enabled
    assert [schedule.name for schedule in client.schedules.list()] == ["nightly"]


def test_it_is_switched_off_and_on(client, nightly):
    assert not client.schedules.begin_disable("nightly").result().is_enabled
    assert client.schedules.begin_enable("nightly").result().is_enabled


def test_it_is_removed_once_it_is_off(client, nightly):
    with pytest.raises(HttpResponseError, match="is enabled; disable it"):
        client.schedules.begin_delete("nightly").result()
    client.schedules.begin_disable("nightly").result()
    client.schedules.begin_delete("nightly").result()
    with pytest.raises(ResourceNotFoundError):
        client.schedules.get("nightly")
