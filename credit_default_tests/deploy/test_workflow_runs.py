"""The steps of the workflows, run in their order against the stand-in for Azure: from data to production."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from credit_default.resources import ledger as ledgers
from credit_default.settings import CONNECTION_STRING_VARIABLE
from credit_default_tests.deploy.delivery import Delivery
from credit_default_tests.deploy.deployed import trusted_subjects
from credit_default_tests.deploy.journal import announced as journal_keys
from credit_default_tests.deploy.journal import not_announced, requests_that_write, written
from credit_default_tests.deploy.workflow_runner import Repository, StepFailed
from credit_default_tests.end_to_end.azure_world import ROWS
from credit_default_tests.end_to_end.world import ago, new_clients
from credit_default_tests.id_token_server import OWNER_ID, REPOSITORY, REPOSITORY_ID, id_token_server
from credit_default_tests.resources.served_models import model_files, other_golden_rows, put_day
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

DAY = ago(1)
#: A newer one, so that its jobs' subjects have numbers in them.
NEW_REPOSITORY = {
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_OWNER_ID": OWNER_ID,
    "GITHUB_REPOSITORY_ID": REPOSITORY_ID,
}
INPUTS = {"day": DAY, "trials": "1"}


def without_home(settings: str) -> str:
    """Settings as the infrastructure tells them: a Dagster instance is there as long as its runner is."""
    return "".join(line for line in settings.splitlines(keepends=True) if not line.startswith("CREDIT_DEFAULT_HOME="))


@pytest.fixture(scope="module")
def repository(delivery: Delivery, tmp_path_factory) -> Iterator[Repository]:
    """A repository whose GitHub environments have what the infrastructure's outputs say, and data in both lakes.

    Its runners have no identity of their own, and no secret: Azure trusts the subjects that the Bicep files name.
    """
    folder = tmp_path_factory.mktemp("runners")
    who_we_are = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
    runner = {name: value for name, value in os.environ.items() if name not in {*who_we_are, "AZURE_CLIENT_SECRET"}}
    variables, secrets = {}, {}
    for name, path in delivery.files.items():
        lines = path.read_text().splitlines()
        (told,) = [line for line in lines if line.startswith(CONNECTION_STRING_VARIABLE)]
        secrets[name] = {CONNECTION_STRING_VARIABLE: told.partition("=")[2]}
        variables[name] = {
            **{one: delivery.emulator.environment[one] for one in who_we_are},
            "SETTINGS": without_home("\n".join(line for line in lines if line != told)),
        }
    with delivery.inside("staging") as place:
        labelled = csv_text(new_clients(ROWS, target=True)).encode()
        place.storage.write("landing/curated/clients.csv", labelled)
    for name in ("staging", "production"):
        with delivery.inside(name) as place:
            arrived = csv_text(new_clients(40, start=ROWS)).encode()
            place.storage.write(f"landing/inference/batch/{DAY}/clients.csv", arrived)
    with id_token_server() as id_tokens:
        id_tokens.lifetime = 5  # none outlives the step that it was asked for in
        for name in delivery.files:
            for subject in trusted_subjects(name, **NEW_REPOSITORY):
                delivery.emulator.trust(id_tokens.issuer, subject, id_tokens.public_key)
        yield Repository(folder, variables, secrets, dict.fromkeys(delivery.files, runner), id_tokens)


@pytest.fixture(scope="module")
def announced(repository: Repository, delivery: Delivery) -> list[dict]:
    """What a first training says that it changes, when nothing is there yet."""
    told, requests = delivery.told("staging", "train", "--dry-run", exits=3)
    assert requests_that_write(requests) == []
    return told["changes"]


@pytest.fixture(scope="module")
def before(announced, delivery: Delivery) -> int:
    """How much the stand-in, which other tests use too, had heard when the chain began."""
    return len(delivery.emulator.journal())


@pytest.fixture(scope="module")
def delivered(repository: Repository, before) -> Repository:
    """The whole chain, once."""
    repository.run("deploy-model.yml", INPUTS)
    return repository


def test_a_model_is_built_shared_tried_in_staging_and_goes_live_in_production(delivered, delivery):
    names = [name for environment, name in delivered.ran if environment == "production"]
    assert names == [
        "See who we are",
        "Write the settings",
        "Make sure that endpoint and environments are there",
        "Take the model from the registry",
        "Deploy",
        "Invoke the endpoint and read the predictions back",
    ]
    for environment in ("staging", "production"):
        with delivery.inside(environment) as place:
            (entry,) = ledgers.read(place.storage).entries
        assert (entry.action, entry.to_version, entry.who) == ("promote", "1", "ada")
        assert entry.reason == "https://github.com/bank/credit-default/actions/runs/4711"
        told, _ = delivery.told(environment, "deployment", "--dry-run")
        assert told["live_version"] == "1"
        told, _ = delivery.told(environment, "invoke", DAY, "--dry-run")
        assert {one["action"] for one in told["changes"]} == {"unchanged"}


def test_a_training_makes_what_was_announced(delivered, delivery, announced, before):
    made = written(delivery.emulator.journal()[before:])
    trained = [(kind, name) for kind, name in made if kind in {"data asset", "model"} and "inference" not in name]
    (asset,) = [name for kind, name in trained if kind == "data asset"]
    assert asset.startswith("curated_data:")
    assert not_announced(Counter({("data asset", asset): 1}), announced)[0] == Counter()
    certain = journal_keys(announced)
    assert ("model", "credit-card-default:1") in certain
    assert certain - made == Counter(), "announced as certain, and not made"


def test_what_a_job_of_github_proves_itself_by_stays_with_it(delivered, delivery):
    secrets = [*delivered.id_tokens.given, *delivered.id_tokens.proofs]
    assert len(delivered.id_tokens.given) > 10, "one for each token of Azure"
    for environment in ("staging", "production"):
        with delivery.inside(environment) as place:
            blobs = {blob.name: place.storage.read(blob.name) for blob in place.storage._list("")}
        assert any(name.startswith("dagster/logs/") for name in blobs)
        for name, content in blobs.items():
            assert not any(secret.encode() in content for secret in secrets), name
    logs = {path: path.read_text("utf-8", "replace") for path in delivered.folder.rglob("*.log")}
    assert {path.name for path in logs} >= {"deploy.log"}
    for path, text in logs.items():
        assert not any(secret in text for secret in secrets), path


def test_deploying_a_second_time_changes_nothing(delivered, delivery):
    before = len(delivery.emulator.journal())
    delivered.run("deploy-model.yml", {**INPUTS, "version": "1"})
    assert requests_that_write(delivery.emulator.journal()[before:]) == []


def test_a_version_that_does_not_score_as_in_training_stops_before_production(delivered, delivery, tmp_path):
    files = model_files(tmp_path / "m")
    broken = {**files, "golden.parquet": other_golden_rows(files)}
    made = delivery.register("staging", broken, "broken", "promote")
    delivery.told("staging", "model", "share", "--version", made.version)
    delivered.ran.clear()
    with pytest.raises(StepFailed, match=r"(?i)golden rows"):
        delivered.run("deploy-model.yml", {**INPUTS, "version": made.version})
    assert {environment for environment, _ in delivered.ran} == {"", "staging"}
    for environment in ("staging", "production"):
        with delivery.inside(environment) as place:
            assert place.endpoint.state().default == "1"


def test_what_cannot_be_taken_from_the_registry_is_not_deployed_by_its_number(delivered):
    delivered.ran.clear()
    with pytest.raises(StepFailed, match="99"):
        delivered.run("deploy-version.yml", {"environment": "production", "version": "99", "day": DAY})
    assert delivered.ran[-1] == ("production", "Take the model from the registry")


def test_environments_and_data_assets_are_made_in_every_environment_and_once(delivered, delivery, tmp_path):
    with delivery.inside("development") as place:
        table = put_day(place.storage, DAY, tmp_path)
        place.storage.write("curated_data/curated_data.parquet", table.read_bytes())
    commands = {
        "create-environments.yml": [("environments",), ("environments", "--registry")],
        "create-data-assets.yml": [("data-assets",)],
    }
    for workflow, told_by in commands.items():
        delivered.ran.clear()
        before = len(delivery.emulator.journal())
        delivered.run(workflow, {})
        assert {environment for environment, _ in delivered.ran} == {"development", "staging", "production"}
        assert requests_that_write(delivery.emulator.journal()[before:])
        for environment in ("development", "staging", "production"):
            for command in told_by:
                delivery.told(environment, *command, "--dry-run")


class HeldEverything(Repository):
    """Whatever is built is held."""

    def run(self, workflow, inputs):
        return {"version": ""} if workflow == "build-model.yml" else super().run(workflow, inputs)


def test_nothing_is_deployed_when_nothing_may_go_live(repository):
    ours = HeldEverything(**{**vars(repository), "ran": []})
    ours.run("deploy-model.yml", INPUTS)
    assert ours.ran == [("", "Choose")]
