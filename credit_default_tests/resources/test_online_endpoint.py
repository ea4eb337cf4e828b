"""An online endpoint, on every platform: versions side by side, one of them the default, none that scores otherwise."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from credit_default.errors import HashMismatch, NotThere, SmokeTestFailed
from credit_default.ports import EndpointState, ModelVersion, OnlineEndpoint
from credit_default.settings import COLLECTION_KEY_VARIABLE
from credit_default.telemetry.encryption import new_key
from credit_default_tests.platforms import online_platform, platforms
from credit_default_tests.resources.served_models import MODEL_FILE, in_a_run, model_files, register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module", params=platforms())
def ports(request, tmp_path_factory) -> Iterator[dict[str, Any]]:
    """Storage, registry and how to open an endpoint; one set for the module, since deploying takes a while."""
    environment: dict[str, str] = {}
    emulator = request.getfixturevalue("emulator") if request.param == "azure" else None
    if emulator:
        environment = emulator.environment_in(emulator.workspace(with_code=True))
    with patch.dict(os.environ, {**environment, COLLECTION_KEY_VARIABLE: new_key()}):
        made = online_platform(request.param, tmp_path_factory.mktemp("home"))
        name = f"oe-{uuid.uuid4().hex[:12]}"
        yield {**made, "name": name}
        if request.param != "local":
            made["registry"].workspace.client().online_endpoints.begin_delete(name).result()
    if emulator:
        assert emulator.unknown() == []


@pytest.fixture(scope="module")
def models(ports, files) -> list[ModelVersion]:
    """Two versions of the model."""
    mark = uuid.uuid4().hex[:8]  # a real workspace is not new for each test
    return [register(ports["storage"], ports["registry"], files, f"models/m{mark}{n}") for n in range(2)]


@pytest.fixture(scope="module")
def endpoint(ports, models) -> OnlineEndpoint:
    """An endpoint to which the two versions are deployed."""
    made = ports["open"](ports["name"])
    for model in models:
        told = deploy(made, model)
        assert told["rows"] > 0
        assert told["largest_difference"] <= told["tolerance"] == 1e-9
    return made


@pytest.fixture
def versions(endpoint, models) -> list[str]:
    """The numbers of the two versions. The first was live, the second is."""
    numbers = [model.version for model in models]
    endpoint.make_default(numbers[0], changed_by="before")
    endpoint.make_default(numbers[1], changed_by="first")
    return numbers


def deploy(endpoint, model):
    return in_a_run(lambda context: endpoint.deploy(context, model))


def test_nothing_is_deployed_at_first(ports):
    endpoint = ports["open"]("never-made")
    assert endpoint.state() == EndpointState()
    assert endpoint.scoring_uri() is None
    with pytest.raises(NotThere, match=r"Version 1 is not deployed .*deployed: none.*deploy it first"):
        endpoint.make_default("1", changed_by="run")


def test_the_version_before_is_remembered_and_who_changed_it(endpoint, versions):
    one, two = versions
    assert endpoint.state() == EndpointState((one, two), two, one, "first")
    assert endpoint.make_default(one, changed_by="back") == EndpointState((one, two), one, two, "back")
    assert endpoint.make_default(one, changed_by="again") == EndpointState((one, two), one, two, "back")


def test_it_says_where_it_is_asked(endpoint, versions):
    assert endpoint.scoring_uri().endswith("/score")


def test_the_state_is_there_for_the_next_process(endpoint, versions, ports):
    assert ports["open"](endpoint.name).state() == endpoint.state()


def test_a_version_that_is_not_deployed_cannot_answer(endpoint, versions):
    with pytest.raises(NotThere, match=rf"Version 99 is not deployed .*deployed: {', '.join(versions)}"):
        endpoint.make_default("99", changed_by="run")
    assert endpoint.state().default == versions[1]


def test_a_version_that_is_deployed_again_is_found(endpoint, versions, models):
    before = endpoint.state()
    deploy(endpoint, models[0])
    after = endpoint.state()
    assert (sorted(after.deployments), after.default, after.previous) == (versions, before.default, before.previous)


def test_a_version_whose_golden_rows_score_otherwise_does_not_go_live(endpoint, versions, ports, files):
    table = pq.read_table(io.BytesIO(files["golden.parquet"]))
    column = table.schema.get_field_index("probability_of_default")
    moved = pc.add(table["probability_of_default"], pc.cast(1e-6, "float64"))
    stream = io.BytesIO()
    pq.write_table(table.set_column(column, "probability_of_default", moved), stream)
    changed = {"golden.parquet": stream.getvalue()}
    model = register(ports["storage"], ports["registry"], files, f"models/f{uuid.uuid4().hex[:8]}", **changed)
    with pytest.raises(SmokeTestFailed, match=r"Golden rows, scored by .*, differ by 1e-06, expected at most 1e-09"):
        deploy(endpoint, model)
    assert (sorted(endpoint.state().deployments), endpoint.state().default) == (versions, versions[1])


def test_a_model_file_that_is_not_the_registered_one_does_not_come_up(endpoint, versions, ports, files):
    model = register(ports["storage"], ports["registry"], files, f"models/c{uuid.uuid4().hex[:8]}")
    ports["storage"].write(f"{model.key}/{MODEL_FILE}", files[MODEL_FILE] + b"x")
    with pytest.raises(HashMismatch, match=rf"{MODEL_FILE}: got sha256"):
        deploy(endpoint, model)
    assert (sorted(endpoint.state().deployments), endpoint.state().default) == (versions, versions[1])
