"""The batch endpoint on Azure ML: versions side by side, days as invocations that are found again, and faults."""

import uuid
from datetime import date

import dagster as dg
import pyarrow.parquet as pq
import pytest

from credit_default.core import tables
from credit_default.core.model_directory import load
from credit_default.core.scoring import score_file
from credit_default.errors import JobFailed, ModelError, NotThere, SmokeTestFailed
from credit_default.resources.ports import EndpointState, ModelVersion, Refused, Stored
from credit_default_tests import trained
from credit_default_tests.platforms import azure_endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DAYS = ("2026-03-01", "2026-03-02")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A real model directory: name to content."""
    folder = tmp_path_factory.mktemp("model") / "m"
    trained.save(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def endpoint(azure):
    return azure_endpoint()


@pytest.fixture
def register(endpoint, files):
    """Register the model, as a version of its own each time."""

    def make(number: int = 1, **changed: bytes) -> ModelVersion:
        import hashlib

        key, content = f"models/m{number}", {**files, **changed}
        for name, data in content.items():
            endpoint.compute.storage.write(f"{key}/{name}", data)
        sha256 = hashlib.sha256(content["model.skops"]).hexdigest()
        client = endpoint.registry.workspace.client()
        if number == 1:
            return endpoint.registry.register(key, sha256=sha256, tags={"verdict": "promote"})
        # The registry has a file once; this is the same one under another number.
        from azure.ai.ml.constants import AssetTypes
        from azure.ai.ml.entities import Model

        tags = {"storage_key": key, "model_sha256": sha256}
        path = endpoint.compute.storage.datastore_uri(key)
        client.models.create_or_update(
            Model(name=endpoint.registry.name, version=str(number), path=path, type=AssetTypes.MLFLOW_MODEL, tags=tags)
        )
        return endpoint.registry.get(str(number))

    return make


@pytest.fixture
def arrive(endpoint, tmp_path):
    """Put the accepted clients of a day into the lake; returns them."""

    def put(day: str, rows: int = 20):
        table = trained.parts()["test"].select(tables.schema().names).slice(0, rows)
        path = tmp_path / f"{day}.parquet"
        tables.write(table, path, data_version=f"input-{day}")
        endpoint.compute.storage.write(f"inference_data/{day}/inference_data.parquet", path.read_bytes())
        return path

    return put


def in_a_run(work, root: str | None = None):
    """Do something with the context of a run's asset; returns what came of it, or raises its error."""
    outcome: list = []

    @dg.asset
    def made(context: dg.AssetExecutionContext) -> None:
        outcome.append(work(context))

    job = dg.Definitions(assets=[made]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(run_id=root or str(uuid.uuid4()), instance=instance)
    return outcome[0]


def deploy(endpoint, model):
    return in_a_run(lambda context: endpoint.deploy(context, model))


def go_live(endpoint, model, changed_by: str = "run") -> EndpointState:
    deploy(endpoint, model)
    return endpoint.make_default(model.version, changed_by=changed_by)


def score(endpoint, *days: str, root: str | None = None) -> list:
    return in_a_run(lambda context: list(endpoint.invoke(context, days, versions=["v"] * len(days))), root)


def invocations(emulator, azure) -> list[str]:
    return [job["name"] for job in emulator.jobs(azure.name)]


def test_days_are_scored_as_on_this_machine_each_by_one_invocation(  # noqa: PLR0917 - pytest's fixtures
    endpoint, register, arrive, emulator, azure, tmp_path, files
):
    model = register()
    assert endpoint.state() == EndpointState()
    assert go_live(endpoint, model, "run-1") == EndpointState(("1",), "1", None, "run-1")
    sources = {day: arrive(day, 20 + number) for number, day in enumerate(DAYS)}
    stored = score(endpoint, *DAYS)
    assert [message.partition for message in stored] == list(DAYS)
    for name, content in files.items():
        path = tmp_path / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    loaded = load(tmp_path / "m", expected_sha256=model.sha256)
    for message in stored:
        assert isinstance(message, Stored)
        with endpoint.compute.storage.on_disk(message.files["predictions"]) as path:
            there = pq.read_table(path)
        told = score_file(
            loaded,
            sources[message.partition],
            tmp_path / "here.parquet",
            as_of=date.fromisoformat(message.partition),
            model_name=model.name,
            model_version="1",
            input_data_version=f"input-{message.partition}",
            run_id=there["run_id"][0].as_py(),
            scored_at=there["scored_at"][0].as_py(),
        )
        assert there.equals(pq.read_table(tmp_path / "here.parquet"))
        assert message.data_version == told["data_version"]
        own = {"seconds", "rows_per_second"}
        assert {**message.result, **{name: told[name] for name in own}} == told
        assert message.job_metadata["studio"].value.startswith("https://ml.azure.com/runs/")
    jobs = invocations(emulator, azure)
    assert len(jobs) == len(set(jobs)) == 3  # the smoke test, and one for each day
    assert {message.job_name for message in stored} < set(jobs)


def test_versions_stand_side_by_side_and_the_default_goes_back_and_forth(endpoint, register):
    go_live(endpoint, register(1), "first")
    deploy(endpoint, register(2))
    assert endpoint.state() == EndpointState(("1", "2"), "1", None, "first")
    assert endpoint.make_default("2", changed_by="second") == EndpointState(("1", "2"), "2", "1", "second")
    assert endpoint.make_default("2", changed_by="again") == EndpointState(("1", "2"), "2", "1", "second")
    assert endpoint.make_default("1", changed_by="third") == EndpointState(("1", "2"), "1", "2", "third")
    assert azure_endpoint().state() == endpoint.state()
    with pytest.raises(NotThere, match=r"Version 3 is not deployed .*deployed: 1, 2"):
        endpoint.make_default("3")


def test_a_version_whose_golden_rows_score_otherwise_does_not_go_live(endpoint, register, files, tmp_path):
    go_live(endpoint, register(1))
    golden = tmp_path / "golden.parquet"
    golden.write_bytes(files["golden.parquet"])
    table = pq.read_table(golden)
    column = table.schema.get_field_index("probability_of_default")
    import pyarrow.compute as pc

    table = table.set_column(column, "probability_of_default", pc.add(table["probability_of_default"], 1e-6))
    pq.write_table(table, golden)
    forged = register(2, **{"golden.parquet": golden.read_bytes()})
    with pytest.raises(SmokeTestFailed, match=r"differ by 1e-06, expected at most 1e-09"):
        deploy(endpoint, forged)
    assert endpoint.state().default == "1"


def test_a_model_file_that_was_changed_fails_the_smoke_test_and_the_default_stays(endpoint, register, files):
    go_live(endpoint, register(1))
    model = register(2)
    endpoint.compute.storage.write(f"{model.key}/model.skops", files["model.skops"] + b"x")
    with pytest.raises(JobFailed, match="HashMismatch"):
        deploy(endpoint, model)
    assert endpoint.state().default == "1"


def test_what_is_there_is_found_again_and_another_model_under_its_name_is_refused(endpoint, register, emulator):
    model = register()
    go_live(endpoint, model)
    go_live(endpoint, model)
    puts = [entry for entry in emulator.journal() if entry["method"] == "PUT" and "/deployments/" in entry["path"]]
    assert sum(endpoint.name in entry["path"] for entry in puts) == 1
    import dataclasses

    with pytest.raises(ModelError, match=r"Deployment version-1 .* is of another model"):
        deploy(endpoint, dataclasses.replace(model, sha256="0" * 64))


def test_a_day_that_cannot_be_scored_is_refused_with_the_scripts_words_and_the_others_go_on(endpoint, register, arrive):
    go_live(endpoint, register())
    arrive(DAYS[0])
    endpoint.compute.storage.write(f"inference_data/{DAYS[1]}/inference_data.parquet", b"no parquet")
    by_day = {message.partition: message for message in score(endpoint, *DAYS, "2026-03-03")}
    assert isinstance(by_day[DAYS[0]], Stored)
    assert isinstance(by_day[DAYS[1]], Refused)
    assert by_day[DAYS[1]].error_type == "UnreadableFile"
    assert by_day["2026-03-03"].error_type == "NotThere"


def test_an_invocation_that_dies_is_told_and_the_next_run_makes_another(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    arrive(DAYS[0])
    root = str(uuid.uuid4())
    emulator.job_fault("^score-", kill=True)
    with pytest.raises(JobFailed, match="did not finish"):
        score(endpoint, DAYS[0], root=root)
    emulator.clear_faults()
    (stored,) = score(endpoint, DAYS[0], root=root)
    assert stored.job_name.endswith("-2")


def test_an_orchestrator_that_went_away_finds_its_invocation_again(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    arrive(DAYS[0])
    root = str(uuid.uuid4())

    def start_and_die(context):
        for _ in endpoint.invoke(context, [DAYS[0]], versions=["v"]):
            return  # the run ends before it says that it dealt with what it got

    in_a_run(start_and_die, root)
    (stored,) = score(endpoint, DAYS[0], root=root)
    assert stored.job_name.endswith("-1")
    assert sum(name.startswith("score-") for name in invocations(emulator, azure)) == 1


@pytest.mark.parametrize("fault", [{"lose": True}, {"status": 500, "times": 3}, {"status": 429, "retry_after": 1}])
def test_a_post_whose_answer_does_not_come_makes_one_invocation(  # noqa: PLR0917 - pytest's fixtures
    endpoint, register, arrive, emulator, azure, fault
):
    go_live(endpoint, register())
    arrive(DAYS[0])
    emulator.fault("POST", "^/jobs$", host="inference", **fault)
    (stored,) = score(endpoint, DAYS[0])
    assert isinstance(stored, Stored)
    assert sum(name.startswith("score-") for name in invocations(emulator, azure)) == 1


def test_a_deployment_that_is_invoked_by_name_does_not_route_later_calls_of_others(endpoint, register, arrive):
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    go_live(endpoint, register(1))
    assert EndpointInvokeFields.MODEL_DEPLOYMENT not in EndpointInvokeFields.DEFAULT_HEADER


def test_staging_and_production_deploy_the_model_of_the_shared_registry(endpoint, register, azure):
    model = register()
    shared = azure_endpoint(from_registry=True)
    go_live(shared, model)
    deployed = shared.registry.workspace.client().batch_deployments.get("version-1", shared.name)
    assert deployed.model == f"azureml://registries/{shared.registry.registry}/models/{model.name}/versions/1"


def test_scoring_before_anything_is_deployed_says_what_to_do(endpoint):
    with pytest.raises(NotThere, match=r"Nothing is deployed to .*; run the jobs train_model and deploy_model first"):
        score(endpoint, DAYS[0])
