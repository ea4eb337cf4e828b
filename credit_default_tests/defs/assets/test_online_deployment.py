"""The champion at the online endpoint: put there when it is not there already, by a run that says where it is asked."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from credit_default.defs.assets.online_deployment import online_deployment
from credit_default.ports import EndpointState, ModelVersion
from credit_default.resources import resources_for
from credit_default.settings import read
from credit_default_tests.resources.served_models import model_files, register

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ports(tmp_path_factory) -> dict[str, Any]:
    """Everything on this machine; the online endpoint really tries a version in the server that will serve it."""
    return resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path_factory.mktemp("home"))}))


@pytest.fixture(scope="module")
def models(ports, tmp_path_factory) -> list[ModelVersion]:
    files = model_files(tmp_path_factory.mktemp("model") / "m")
    return [register(ports["storage"], ports["registry"], files, f"models/m{number}") for number in range(2)]


def go_live(ports, model: ModelVersion) -> None:
    ports["endpoint"]._add(model.version)
    ports["endpoint"].make_default(model.version)


def materialise(ports) -> dg.ExecuteInProcessResult:
    asked = {name: ports[name] for name in ("registry", "endpoint", "online_endpoint")}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([online_deployment], resources=asked, instance=instance, raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_champion_goes_online_once_and_the_one_before_it_is_kept(ports, models):
    nothing = materialise(ports)
    assert not nothing.success
    (failure,) = nothing.get_step_failure_events()
    assert "Nothing is live at the batch endpoint; run the jobs" in failure.step_failure_data.error.cause.message

    go_live(ports, models[0])
    first = materialise(ports)
    shown = told(first)
    assert (shown["live_version"], shown["previous_version"], shown["changed"]) == ("1", "none", True)
    assert shown["golden_rows_largest_difference"] <= 1e-9
    assert shown["scoring_uri"] == "http://127.0.0.1:5001/score"
    assert ports["online_endpoint"].state() == EndpointState(("1",), "1", None, first.run_id)

    again = told(materialise(ports))
    assert again["changed"] is False
    assert "golden_rows_largest_difference" not in again  # nothing was deployed

    go_live(ports, models[1])
    assert told(materialise(ports))["live_version"] == "2"
    state = ports["online_endpoint"].state()
    assert (state.deployments, state.default, state.previous) == (("1", "2"), "2", "1")
