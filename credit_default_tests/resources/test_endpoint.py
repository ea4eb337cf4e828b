"""A batch endpoint, on every platform: versions side by side, one of them the default, and days that it scores."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from credit_default.core.model.model_directory import load
from credit_default.core.scoring.scoring import score_file
from credit_default.errors import JobFailed, NotThere, SmokeTestFailed
from credit_default.ports import BatchEndpoint, DayRejected, EndpointState, ModelVersion, StepResult
from credit_default.resources.model_versions import expectation_of
from credit_default_tests.platforms import batch_platform, platforms
from credit_default_tests.resources.served_models import deploy, in_a_run, model_files, put_day, register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GOOD, BAD, MISSING = "2026-03-01", "2026-03-02", "2026-03-03"


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
    with patch.dict(os.environ, environment):
        made = batch_platform(request.param, tmp_path_factory.mktemp("home"))
        yield {**made, "name": f"be-{uuid.uuid4().hex[:12]}"}
        if request.param == "workspace":
            made["registry"].workspace.client().batch_endpoints.begin_delete(made["name"]).result()
    if emulator:
        assert emulator.unknown() == []


@pytest.fixture(scope="module")
def models(ports, files) -> list[ModelVersion]:
    """Three versions of the model."""
    mark = uuid.uuid4().hex[:8]  # a real workspace is not new for each test
    return [register(ports["storage"], ports["registry"], files, f"models/m{mark}{n}") for n in range(3)]


@pytest.fixture(scope="module")
def endpoint(ports, models) -> BatchEndpoint:
    """An endpoint to which the three versions are deployed."""
    made = ports["open"](ports["name"])
    for model in models:
        told = deploy(made, model)
        assert told["rows"] > 0
        assert told["largest_difference"] <= told["tolerance"] == 1e-9
    return made


@pytest.fixture
def versions(endpoint, models) -> list[str]:
    """The numbers of the three versions. The first was live, the second is."""
    numbers = [model.version for model in models]
    endpoint.make_default(numbers[0], changed_by="before")
    endpoint.make_default(numbers[1], changed_by="first")
    return numbers


def score(endpoint, *days: str, storage=None) -> list:
    """Score days, and publish each before the next message is asked for, as the assets do."""

    def work(context):
        messages = []
        for message in endpoint.invoke(context, days, versions=["v"] * len(days)):
            if isinstance(message, StepResult):
                storage.publish(message.files["predictions"], f"predictions/{message.partition}.parquet")
            messages.append(message)
        return messages

    return in_a_run(work)


def test_nothing_is_deployed_at_first(ports):
    endpoint = ports["open"]("never-made")
    assert endpoint.state() == EndpointState()
    with pytest.raises(NotThere, match=r"Version 1 is not deployed .*deployed: none.*deploy it first"):
        endpoint.make_default("1", changed_by="run")
    with pytest.raises(NotThere, match=r"Nothing is deployed to never-made; run the jobs train_model and deploy_model"):
        score(endpoint, GOOD)


def test_the_version_before_is_remembered_and_who_changed_it(endpoint, versions):
    one, two, three = versions
    assert endpoint.state() == EndpointState((one, two, three), two, one, "first")
    assert endpoint.make_default(three, changed_by="second") == EndpointState((one, two, three), three, two, "second")


def test_making_the_same_version_default_twice_keeps_the_one_before(endpoint, versions):
    one, two, three = versions
    assert endpoint.make_default(two, changed_by="again") == EndpointState((one, two, three), two, one, "first")


def test_going_back_and_forth_swaps_the_two(endpoint, versions):
    one, two, three = versions
    assert endpoint.make_default(one, changed_by="back") == EndpointState((one, two, three), one, two, "back")
    assert endpoint.make_default(two, changed_by="forth") == EndpointState((one, two, three), two, one, "forth")


def test_the_state_is_there_for_the_next_process(endpoint, versions, ports):
    assert ports["open"](endpoint.name).state() == endpoint.state()


def test_a_version_that_is_not_deployed_cannot_answer(endpoint, versions):
    with pytest.raises(NotThere, match=rf"Version 99 is not deployed .*deployed: {', '.join(versions)}"):
        endpoint.make_default("99", changed_by="run")
    assert endpoint.state().default == versions[1]


def test_a_version_that_is_deployed_again_is_found(endpoint, versions, models):
    before = endpoint.state()
    deploy(endpoint, models[0])
    assert set(endpoint.state().deployments) == set(before.deployments)
    assert replace(endpoint.state(), deployments=()) == replace(before, deployments=())


def test_two_promotions_at_once_are_made_one_after_the_other(endpoint, versions, ports):
    wanted = versions[0], versions[2]
    with ThreadPoolExecutor(2) as pool:
        # Each as another process would.
        asked = [pool.submit(ports["open"](endpoint.name).make_default, v, changed_by=f"to {v}") for v in wanted]
        for one in asked:
            one.result()
    state = endpoint.state()
    assert (state.default, state.previous) in (wanted, wanted[::-1])
    assert state.changed_by == f"to {state.default}"


def test_a_version_whose_golden_rows_score_otherwise_does_not_go_live(endpoint, versions, ports, files):
    table = pq.read_table(io.BytesIO(files["golden.parquet"]))
    column = table.schema.get_field_index("probability_of_default")
    table = table.set_column(
        column, "probability_of_default", pc.add(table["probability_of_default"], pc.cast(1e-6, "float64"))
    )
    stream = io.BytesIO()
    pq.write_table(table, stream)
    changed = {"golden.parquet": stream.getvalue()}
    model = register(ports["storage"], ports["registry"], files, f"models/f{uuid.uuid4().hex[:8]}", **changed)
    with pytest.raises((JobFailed, SmokeTestFailed), match=r"(?i)golden rows.* differ by 1e-06, expected"):
        deploy(endpoint, model)
    assert endpoint.state().default == versions[1]


def test_days_are_scored_by_the_default_and_one_that_cannot_be_is_refused(  # noqa: PLR0917 - pytest's fixtures
    endpoint, versions, models, ports, files, tmp_path
):
    source = put_day(ports["storage"], GOOD, tmp_path)
    ports["storage"].write(f"inference_data/{BAD}/inference_data.parquet", b"no parquet")
    by_day = {message.partition: message for message in score(endpoint, GOOD, BAD, MISSING, storage=ports["storage"])}
    assert isinstance(by_day[BAD], DayRejected)
    assert by_day[BAD].error_type == "UnreadableFile"
    assert by_day[MISSING].error_type == "NotThere"
    stored = by_day[GOOD]
    assert isinstance(stored, StepResult)
    with ports["storage"].on_disk(f"predictions/{GOOD}.parquet") as path:
        there = pq.read_table(path)
    here, told = scored_here(models[1], source, there, ports, tmp_path)
    assert there.equals(here)
    assert stored.data_version == told["data_version"]
    own = {"seconds", "rows_per_second"}
    assert {**stored.result, **{name: told[name] for name in own}} == told


def scored_here(model: ModelVersion, source: Path, there, ports, folder: Path):
    """The same day scored in this process, with what two runs cannot share taken from the other."""
    with ports["storage"].on_disk(model.key) as directory:
        loaded = load(directory, expectation_of(model, ports["storage"]))
    told = score_file(
        loaded,
        source,
        folder / "here.parquet",
        as_of=date.fromisoformat(GOOD),
        model_name=model.name,
        model_version=model.version,
        input_data_version=f"input-{GOOD}",
        run_id=there["run_id"][0].as_py(),
        scored_at=there["scored_at"][0].as_py(),
    )
    return pq.read_table(folder / "here.parquet"), told
