"""The batch endpoint on Azure ML: versions side by side, one of them live, and what may be deployed."""

import dataclasses
import json
import os
import threading

import pytest

from credit_default.errors import HashMismatch, JobFailed, ModelError, NotAllowed, SettingsError, StorageError
from credit_default.ports import EndpointState, ModelVersion, StepResult
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.jobs import job_environments
from credit_default.settings.azure_compute import Target
from credit_default_tests.platforms import azure_compute, azure_endpoint
from credit_default_tests.resources import served_models
from credit_default_tests.resources.served_models import (
    MANIFEST_FILE,
    MODEL_FILE,
    deploy,
    go_live,
    in_a_run,
    model_files,
    put_day,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def endpoint(azure):
    return azure_endpoint()


@pytest.fixture
def register(endpoint, files):
    """Register the model, as a version of its own each time."""

    def make(number: int = 1) -> ModelVersion:
        return served_models.register(endpoint.compute.storage, endpoint.registry, files, f"models/m{number}")

    return make


def deployments_of(endpoint) -> list:
    return list(endpoint.registry.workspace.client().batch_deployments.list(endpoint.name))


def test_a_model_whose_file_was_changed_is_refused_before_it_is_deployed(endpoint, register, files):
    go_live(endpoint, register(1))
    model = register(2)
    endpoint.compute.storage.write(f"{model.key}/{MODEL_FILE}", files[MODEL_FILE] + b"x")
    with pytest.raises(HashMismatch, match=rf"{MODEL_FILE}: got sha256"):
        deploy(endpoint, model)
    assert (endpoint.state().default, endpoint.state().deployments) == ("1", ("1",))


def test_a_deployment_whose_threshold_was_changed_scores_no_day_and_a_restored_one_does(endpoint, register, tmp_path):
    model, storage = register(), endpoint.compute.storage
    go_live(endpoint, model)
    put_day(storage, "2026-03-01", tmp_path)
    kept = storage.read(f"{model.key}/{MANIFEST_FILE}")
    forged = {**json.loads(kept), "threshold": float("nan")}

    def score() -> list:
        return in_a_run(lambda context: list(endpoint.invoke(context, ["2026-03-01"], versions=["v"])))

    storage.write(f"{model.key}/{MANIFEST_FILE}", json.dumps(forged).encode())
    with pytest.raises(JobFailed, match=rf"HashMismatch.*{MANIFEST_FILE}: got sha256"):
        score()
    storage.write(f"{model.key}/{MANIFEST_FILE}", kept)
    (stored,) = score()
    assert isinstance(stored, StepResult)


def test_a_deployment_may_take_longer_to_come_up_than_an_upload(endpoint, register, emulator):
    deploy(endpoint, register(1))
    hurried = azure_endpoint(compute=azure_compute(sources=["credit_default"], upload_limit=8.0))
    emulator.fault("GET", "/mfeOperationsStatus/", delay=10)
    deploy(hurried, register(2))
    emulator.fault("GET", "/mfeOperationsStatus/", delay=10)
    with pytest.raises(ModelError, match=r"Azure ML did not finish with endpoint .* within 5 s"):
        deploy(azure_endpoint(deploy_limit=5.0), register(3))


def test_an_upload_that_does_not_end_is_given_up_and_told_with_the_way_out(register, emulator, tmp_path, monkeypatch):
    (tmp_path / "code_that_is_new").mkdir()
    (tmp_path / "code_that_is_new" / "__init__.py").write_text("TWO = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    hurried = azure_endpoint(compute=azure_compute(sources=["code_that_is_new"], upload_limit=5.0))
    told = r"was not uploaded within 5 s; .*CREDIT_DEFAULT_UPLOAD_LIMIT.* allowSharedKeyAccess"
    with monkeypatch.context() as patched:
        patched.setattr(job_environments, "ensure", lambda *_: threading.Event().wait(60))
        with pytest.raises(StorageError, match=rf"The environment {told}"):
            hurried.ensure_environment()
    keys_off = {"status": 403, "code": "KeyBasedAuthenticationNotPermitted", "signed": True}
    emulator.fault("PUT", "", host="blob", times=1000, **keys_off)
    with pytest.raises(StorageError, match=rf"The code of deployment version-1-\w+ of be-.* {told}"):
        deploy(hurried, register())
    assert hurried.state().deployments == ()


def test_what_is_there_is_found_again_and_another_model_under_its_name_is_refused(endpoint, register, emulator):
    model = register()
    go_live(endpoint, model)
    go_live(endpoint, model)
    puts = [entry for entry in emulator.journal() if entry["method"] == "PUT" and "/deployments/" in entry["path"]]
    assert sum(endpoint.name in entry["path"] for entry in puts) == 1
    with pytest.raises(ModelError, match=r"Deployment version-1-[0-9a-f]{12} .* is of another model"):
        deploy(endpoint, dataclasses.replace(model, sha256="0" * 64))


def test_production_deploys_its_own_copy_of_what_came_through_the_shared_registry_and_nothing_else(endpoint, register):
    model = register()
    production = azure_endpoint(name=f"p-{endpoint.name}"[:32], only_from_registry=True)
    with pytest.raises(
        NotAllowed, match=r"Version 1 was registered in workspace .* itself; production deploys what came"
    ):
        deploy(production, model)
    assert not production.look().there
    taken = dataclasses.replace(model, tags={**model.tags, "taken_from": production.registry.shared_id("7")})
    go_live(production, taken)
    (deployed,) = deployments_of(production)
    assert deployed.model.endswith(f"/{os.environ['AZURE_ML_WORKSPACE']}/models/{model.name}/versions/1")


def test_new_code_is_deployed_beside_the_old_and_takes_its_place(endpoint, register, monkeypatch):
    model = register()
    go_live(endpoint, model, "first")
    assert not endpoint.state().outdated
    monkeypatch.setattr(deployments, "code_version", lambda: "0123456789ab")
    assert endpoint.state() == EndpointState(("1",), "1", None, "first", outdated=True)
    deploy(endpoint, model)
    assert endpoint.state().outdated
    assert endpoint.make_default("1", changed_by="second") == EndpointState(("1",), "1", None, "first")
    assert len(deployments_of(endpoint)) == 2


def test_old_deployments_are_removed_but_for_those_that_one_may_go_back_to(endpoint, register, monkeypatch):
    monkeypatch.setattr(deployments, "_KEEP", 0)
    for number in (1, 2, 3):
        go_live(endpoint, register(number))
    assert endpoint.state() == EndpointState(("2", "3"), "3", "2", "run")


def test_serverless_compute_is_refused_before_anything_is_deployed(endpoint, register):
    model = register()
    anywhere = {**endpoint.compute.targets, "score": Target(compute="serverless")}
    serverless = azure_endpoint(compute=azure_compute(sources=["credit_default"], targets=anywhere))
    with pytest.raises(SettingsError, match=r"a batch endpoint needs a cluster; set CREDIT_DEFAULT_COMPUTE_SCORE"):
        deploy(serverless, model)
