"""Which version answers, which did before it, and what is refused."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from credit_default.errors import NotThere
from credit_default.resources import resources_for
from credit_default.resources.ports import EndpointState
from credit_default.settings import read


@pytest.fixture
def ports(tmp_path):
    return resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))


@pytest.fixture
def endpoint(ports):
    return ports["endpoint"]


@pytest.fixture
def deployed(endpoint):
    """Put versions beside each other, as `deploy` leaves them once their smoke test passed."""

    def put(*versions: str, default: str | None = None, previous: str | None = None) -> None:
        endpoint._save(EndpointState(versions, default, previous))

    return put


def test_nothing_is_deployed_at_first(endpoint):
    assert endpoint.state() == EndpointState()


def test_a_version_that_is_not_deployed_cannot_answer(endpoint, deployed):
    with pytest.raises(NotThere, match=r"Version 1 is not deployed .*deployed: none.*deploy it first"):
        endpoint.make_default("1", changed_by="run")
    deployed("1", "2", default="1")
    with pytest.raises(NotThere, match=r"Version 3 .*deployed: 1, 2"):
        endpoint.make_default("3", changed_by="run")
    assert endpoint.state().default == "1"


def test_the_version_before_is_remembered(endpoint, deployed):
    deployed("1", "2", "3")
    assert endpoint.make_default("1", changed_by="run") == EndpointState(("1", "2", "3"), "1", None, "run")
    assert endpoint.make_default("2", changed_by="run") == EndpointState(("1", "2", "3"), "2", "1", "run")
    assert endpoint.make_default("3", changed_by="run") == EndpointState(("1", "2", "3"), "3", "2", "run")
    assert endpoint.state() == EndpointState(("1", "2", "3"), "3", "2", "run")


def test_making_the_same_version_default_twice_keeps_the_one_before(endpoint, deployed):
    deployed("1", "2", default="1")
    endpoint.make_default("2", changed_by="run")
    assert endpoint.make_default("2", changed_by="run") == EndpointState(("1", "2"), "2", "1", "run")


def test_going_back_and_forth_swaps_the_two(endpoint, deployed):
    deployed("1", "2", default="2", previous="1")
    assert endpoint.make_default("1", changed_by="run") == EndpointState(("1", "2"), "1", "2", "run")
    assert endpoint.make_default("2", changed_by="run") == EndpointState(("1", "2"), "2", "1", "run")


def test_the_state_is_there_for_the_next_process(endpoint, deployed, tmp_path):
    deployed("1", default="1")
    again = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))["endpoint"]
    assert again.state() == EndpointState(("1",), "1", None)


def test_the_state_file_says_when_it_changed(endpoint, deployed, ports):
    deployed("1", default="1")
    kept = json.loads(ports["storage"].read("endpoints/credit-card-default-be.json"))
    assert kept["changed_at"].endswith("+00:00")


def test_scoring_before_anything_is_deployed_says_what_to_do(ports):
    @dg.asset
    def scored(context):
        list(ports["endpoint"].invoke(context, ["2026-01-01"]))

    told = "Nothing is deployed to credit-card-default-be; run the jobs train_model"
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(NotThere, match=told):
        dg.materialize([scored], instance=instance)
