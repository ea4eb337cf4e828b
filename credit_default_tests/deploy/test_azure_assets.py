"""Environments, data assets and the endpoint: made once for each content, as announced, in workspace and registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from credit_default.resources.azure.assets import catalogue
from credit_default.resources.azure.jobs import job_environments
from credit_default_tests.deploy.journal import requests_that_write
from credit_default_tests.resources.served_models import put_day

pytestmark = pytest.mark.slow

NEXT_DAY = "2026-02-01"
KINDS = ["train", "score", "drift", "batch", "online"]


def names(report, *actions: str) -> list[str]:
    return [one["name"] for one in report["changes"] if one["action"] in actions]


@pytest.mark.parametrize("where", [(), ("--registry",)], ids=["workspace", "registry"])
def test_environments_are_registered_once_for_each_content(delivery, where, monkeypatch):
    thrice = delivery.thrice("development", "environments", *where)
    thrice.must_be_exact()
    assert names(thrice.done, "create") == [job_environments.reference(kind) for kind in KINDS]

    files = job_environments.build_files
    monkeypatch.setattr(
        job_environments,
        "build_files",
        lambda kind: {**files(kind), **({"Dockerfile": b"FROM another\n"} if kind == "score" else {})},
    )
    changed = delivery.thrice("development", "environments", *where)
    changed.must_be_exact()
    assert names(changed.done, "create") == [job_environments.reference("score")]


def test_an_environment_of_the_registry_holds_what_its_image_is_built_from(delivery):
    delivery.told("production", "environments", "--registry")
    with delivery.inside("production") as place:
        client = place.registry.workspace.registry_client(delivery.registry)
        name, _, version = job_environments.reference("train").partition(":")
        found = client.environments.get(name, version)
    assert found.id == f"azureml://registries/{delivery.registry}/environments/{name}/versions/{version}"
    assert "sig=" not in found.build.path
    (container,) = [part for part in found.build.path.split("/") if part.startswith("upload-")]
    uploads = {
        one["path"] for one in delivery.emulator.journal() if one["method"] == "PUT" and container in one["path"]
    }
    assert {path.rpartition("/")[2] for path in uploads} >= {"Dockerfile", "requirements.txt"}


def test_a_table_becomes_a_version_when_its_content_is_new(delivery, tmp_path):
    nothing, requests = delivery.told("staging", "data-assets", "--dry-run")
    assert [one["why"] for one in nothing["changes"]] == [
        "the lake has no such table yet; the job train_model makes it",
        "the lake has no such table yet; the job score_batch makes it",
    ]
    assert requests_that_write(requests) == []

    with delivery.inside("staging") as place:
        for day in ("2026-01-29", "2026-01-30", "2026-01-31"):
            table = put_day(place.storage, day, tmp_path)
        place.storage.write("curated_data/curated_data.parquet", table.read_bytes())
    thrice = delivery.thrice("staging", "data-assets", "--days", "2")
    thrice.must_be_exact()
    assert names(thrice.done, "create") == [
        "credit_default",
        "curated_data:input-2026-01-31",
        "inference_data:2026-01-30-input-2026-01-30",
        "inference_data:2026-01-31-input-2026-01-31",
    ]

    with delivery.inside("staging") as place:
        place.storage.write("inference_data/2026-01-30/inference_data.parquet", table.read_bytes())
    again = delivery.thrice("staging", "data-assets", "--days", "2")
    again.must_be_exact()
    assert names(again.done, "create") == ["inference_data:2026-01-30-input-2026-01-31"]


def test_a_version_holds_what_was_read_though_a_run_publishes_another_table_meanwhile(delivery, tmp_path, monkeypatch):
    key, is_there = f"inference_data/{NEXT_DAY}/inference_data.parquet", catalogue.is_there
    with delivery.inside("production") as place:
        put_day(place.storage, NEXT_DAY, tmp_path)
        read = place.storage.read(key)

    def published_meanwhile(*arguments):
        place.storage.write(key, b"the table of another run")
        return is_there(*arguments)

    monkeypatch.setattr(catalogue, "is_there", published_meanwhile)
    report, _ = delivery.told("production", "data-assets")
    name, _, version = names(report, "create")[-1].partition(":")
    with delivery.inside("production") as place:
        found = place.storage.workspace.client().data.get(name, version)
        kept = found.path.partition("/paths/")[2]
        assert place.storage.read(kept) == read
        assert place.storage.read(key) != read


def test_the_batch_endpoint_is_made_once(delivery):
    thrice = delivery.thrice("development", "endpoint")
    thrice.must_be_exact()
    assert names(thrice.done, "create") == ["credit-card-default-be"]


def test_a_command_that_tracks_nothing_does_not_wait_for_mlflow_to_be_imported(delivery):
    program = "import sys; from credit_default.cli.main import main; main(sys.argv[1:], standalone_mode=False); "
    program += "sys.exit(bool({'mlflow', 'pandas', 'sklearn'} & set(sys.modules)))"
    command = [sys.executable, "-c", program, "deploy", "--settings", str(delivery.files["staging"]), "endpoint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_refusal_of_azure_is_told_with_what_to_do_and_without_an_address(delivery):
    delivery.emulator.fault("PUT", "/batchEndpoints/", status=403)
    refused = delivery.call("production", "endpoint")
    delivery.emulator.clear_faults()
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: Azure refused making endpoint credit-card-default-be (403 ")
    assert "AzureML Data Scientist" in refused.stderr
    assert "https://" not in refused.stderr


@pytest.mark.parametrize(
    ("environment", "command", "told"),
    [
        ("staging", ("deployment",), "No version of the model is registered; run the job train_model to make one"),
        (
            "staging",
            ("deployment", "--version", "99"),
            "The registry has no version '99' of the model; versions there:",
        ),
        ("staging", ("model", "share", "--version", "99"), "The registry has no version '99' of the model; versions "),
        ("staging", ("online",), "Nothing is live at the batch endpoint; run `credit-default deploy deployment` first"),
        ("staging", ("invoke", "2026-01-31"), "Nothing is live at the batch endpoint; run `credit-default deploy dep"),
        ("production", ("model", "promote", "99"), "has no version 99 of the model; share it from the workspace that"),
        ("production", ("model", "promote", "latest"), "has no version latest of the model; share it from the works"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_not_there_is_told_in_a_line_with_what_to_do(delivery, environment, command, told):
    for dry_run in ((), ("--dry-run",)):
        refused = delivery.call(environment, *command, *dry_run, "--json")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("Error: ")
        assert refused.stderr.count("\n") == 1
        assert told in refused.stderr


def test_a_registry_that_is_not_there_is_told(delivery):
    delivery.write_settings("staging", AZURE_ML_REGISTRY="no-such-registry")
    for command in (("environments", "--registry"), ("environments", "--registry", "--dry-run")):
        refused = delivery.call("staging", *command, "--json")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "Error: Azure refused looking at the environments in no-such-registry (404 " in refused.stderr
    delivery.write_settings("staging")


def test_what_is_looked_for_in_a_workspace_that_is_not_there_is_not_taken_for_missing(delivery):
    path = delivery.write_settings("development", AZURE_ML_WORKSPACE="no-such-workspace")
    for command in (("endpoint",), ("environments",), ("train",), ("deployment",), ("online",), ("data-assets",)):
        refused = delivery.call("development", *command, "--dry-run")
        assert refused.exit_code == 1, path
        assert "Error: Azure refused looking" in refused.stderr
        assert "(404 ResourceNotFound); check the names in the settings" in refused.stderr
