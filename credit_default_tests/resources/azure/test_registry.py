"""The registry on Azure ML: concurrent writers, answers that are lost, and models that workspaces share."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

from credit_default.errors import HashMismatch, ModelError, NotThere
from credit_default.resources.azure.registry import AzureModelRegistry
from credit_default_tests.platforms import azure_registry

pytestmark = pytest.mark.slow

NAME = "credit-card-default"


@pytest.fixture
def registry(azure) -> AzureModelRegistry:
    return azure_registry(NAME)


@pytest.fixture
def elsewhere(registry, azure, emulator, monkeypatch) -> AzureModelRegistry:
    """The registry of another workspace, with a lake of its own, which shares with the first one."""
    settings = {**emulator.workspace().settings, "AZURE_ML_REGISTRY": registry.registry}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return azure_registry(NAME)


def put(registry, content: str) -> tuple[str, str]:
    """Write a model directory into the lake; return its key and the sha256 of its model file."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    files = {"MLmodel": "flavors: {}", "model.skops": content, "plots/roc.png": "picture"}
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    manifest = {"model_sha256": sha256, "model_id": sha256[:16], "files": hashes}
    key = f"models/{sha256[:16]}"
    for name, text in {**files, "manifest.json": json.dumps(manifest)}.items():
        registry.storage.write(f"{key}/{name}", text.encode())
    return key, sha256


def register(registry, content: str = "a model", **tags: str):
    key, sha256 = put(registry, content)
    return registry.register(key, sha256=sha256, tags={"verdict": "promote", **tags})


def models_of(registry) -> dict[str, dict[str, str]]:
    """What the workspace itself shows: version to tags."""
    return {model.version: dict(model.tags) for model in registry.workspace.client().models.list(registry.name)}


def test_a_version_is_an_mlflow_model_whose_tags_lead_back(registry):
    made = register(registry, prepared_data_version="p1", roc_auc="0.78")
    shown = registry.workspace.client().models.get(NAME, "1")
    assert shown.type == "mlflow_model"
    assert shown.path.endswith(f"/datastores/credit_default/paths/{made.key}")
    assert shown.tags["model_sha256"] == made.sha256
    assert (shown.tags["prepared_data_version"], shown.tags["roc_auc"]) == ("p1", "0.78")
    assert registry.asset_id("1") == f"azureml:{NAME}:1"


@pytest.mark.parametrize("fault", [{"lose": True}, {"drop": True}, {"status": 500, "times": 7}])
def test_a_registration_whose_answer_does_not_come_makes_one_version(registry, emulator, fault):
    emulator.fault("PUT", "/models/", host="management", **fault)
    made = register(registry)
    assert made.version == "1"
    assert list(models_of(registry)) == ["1"]
    assert register(registry) == made


def test_the_same_file_registered_by_several_at_once_is_one_version(registry, azure):
    put(registry, "a model")
    others = [azure_registry(NAME) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(register, others))
    assert {version.version for version in made} == {registry.versions()[0].version}
    assert len(registry.versions()) == 1


def test_different_files_registered_at_once_get_different_versions(registry, azure):
    contents = [f"model {number}" for number in range(4)]
    others = [azure_registry(NAME) for _ in contents]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(register, others, contents))
    assert sorted(version.version for version in made) == ["1", "2", "3", "4"]
    assert {version.sha256 for version in registry.versions()} == {version.sha256 for version in made}


def test_a_number_that_was_archived_is_not_given_again(registry):
    register(registry, "first")
    second = register(registry, "second")
    registry.workspace.client().models.archive(NAME, second.version)
    assert [version.version for version in registry.versions()] == ["1"]
    assert register(registry, "third").version == "3"


def test_versions_that_others_made_under_our_name_are_left_alone(registry):
    from azure.ai.ml.entities import Model

    register(registry)
    key, _ = put(registry, "theirs")
    theirs = Model(name=NAME, version="of-somebody", path=registry.storage.datastore_uri(key), type="custom_model")
    registry.workspace.client().models.create_or_update(theirs)
    assert [version.version for version in registry.versions()] == ["1"]


def test_two_who_set_different_aliases_at_once_lose_none_and_the_tags_agree_in_the_end(registry, azure):
    for number in range(3):
        register(registry, f"model {number}")
    wanted = [("champion", "1"), ("challenger", "2"), ("champion", "3"), ("challenger", "1")] * 2
    others = [azure_registry(NAME) for _ in wanted]
    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(lambda registry, pair: registry.set_alias(*pair), others, wanted))
    aliases = {alias: version.version for version in registry.versions() for alias in version.aliases}
    assert aliases["champion"] in {"1", "3"}
    assert aliases["challenger"] in {"2", "1"}
    registry.set_alias("champion", "2")
    shown = {mark: version for version, tags in models_of(registry).items() for mark in tags if mark in aliases}
    assert shown == {**aliases, "champion": "2"}
    assert sum(mark in tags for tags in models_of(registry).values() for mark in aliases) == 2


def test_an_alias_whose_answer_was_lost_is_set_once(registry, emulator):
    register(registry)
    emulator.fault("PUT", "aliases.json", lose=True, host="blob")
    registry.set_alias("champion", "1")
    assert registry.get("champion").version == "1"


def test_aliases_hold_although_the_tags_cannot_be_changed(registry, emulator):
    register(registry)
    emulator.fault("PUT", "/models/", host="management", status=403, times=9)
    registry.set_alias("champion", "1")
    emulator.clear_faults()
    assert registry.get("champion").version == "1"
    assert "champion" not in models_of(registry)["1"]
    registry.set_alias("champion", "1")
    assert models_of(registry)["1"]["champion"] == "yes"


def uploads(emulator, registry) -> int:
    """How often a registry was given a model."""
    wanted = f"/registries/{registry.registry}/models/"
    return sum(
        entry["method"] == "PUT" and wanted in entry["path"] and entry["status"] == 201 for entry in emulator.journal()
    )


def forge(registry, file: str, content: bytes) -> None:
    """Change a file of the first version where the shared registry keeps it."""
    folder = registry.workspace.registry_client(registry.registry).models.get(NAME, "1").path
    with DefaultAzureCredential() as credential:
        BlobClient.from_blob_url(f"{folder}/{file}", credential).upload_blob(content, overwrite=True)


def test_azure_copies_no_model_from_a_datastore_without_credentials(registry):
    register(registry)
    client = registry.workspace.new_client()
    with pytest.raises(HttpResponseError, match=r"Datastore 'credit_default' has no credentials"):
        client.models.share(NAME, "1", share_with_name=NAME, share_with_version="1", registry_name=registry.registry)
    assert not registry.is_shared(registry.get("1"))


@pytest.mark.parametrize("keeps_tags", [True, False])
def test_a_version_is_shared_once_however_often_it_is_asked_for(registry, emulator, keeps_tags):
    emulator.registry(registry.registry, keeps_tags=keeps_tags)
    register(registry)
    shared = f"azureml://registries/{registry.registry}/models/{NAME}/versions/1"
    assert registry.share("1") == registry.share("1") == shared
    assert uploads(emulator, registry) == 1


def test_sharing_bears_with_a_lost_answer_and_with_somebody_who_was_faster(registry, emulator, azure):
    register(registry)
    emulator.fault("PUT", "/registries/.*/models/", lose=True)
    assert registry.share("1").endswith("/versions/1")
    register(registry, "another")
    others = [azure_registry(NAME) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(lambda registry: registry.share("2"), others))) == 1


def test_a_registry_that_takes_no_signed_upload_is_told_with_what_to_look_at(registry, emulator):
    register(registry)
    keys_off = {"status": 403, "code": "KeyBasedAuthenticationNotPermitted", "signed": True}
    emulator.fault("PUT", "", host="blob", times=1000, **keys_off)
    told = r"still uploading version 1 to registry .* after 5 s; .* shared access signatures.*UPLOAD_LIMIT"
    with pytest.raises(ModelError, match=told):
        azure_registry(NAME, time_limit=5.0).share("1")


@pytest.mark.parametrize("file", ["model.skops", "plots/roc.png"])
def test_a_folder_that_was_changed_in_the_lake_is_not_shared(registry, emulator, file):
    made = register(registry)
    registry.storage.write(f"{made.key}/{file}", b"forged")
    with pytest.raises(HashMismatch, match=rf"{file}: got sha256 .*changed or damaged after training"):
        registry.share("1")
    assert uploads(emulator, registry) == 0


def test_another_model_under_the_same_number_is_not_taken_for_ours(registry, elsewhere):
    register(registry, "one")
    registry.share("1")
    register(elsewhere, "another")
    with pytest.raises(ModelError, match=r"holds another model as version 1 .*AZURE_ML_REGISTRY"):
        elsewhere.share("1")


def test_what_is_not_there_can_be_neither_shared_nor_taken(registry, elsewhere):
    with pytest.raises(NotThere, match="no version or alias '1'"):
        registry.share("1")
    with pytest.raises(NotThere, match="has no version 1 of credit-card-default; share it"):
        elsewhere.take("1")


@pytest.mark.parametrize("how", [{}, {"keeps_tags": False}, {"signs": False}, {"keeps_tags": False, "signs": False}])
def test_a_shared_version_comes_with_all_its_files_and_tags_and_once(registry, elsewhere, emulator, how):
    emulator.registry(registry.registry, **how)
    register(elsewhere, "one that was here before")
    made = register(registry, "shared", roc_auc="0.78")
    registry.set_alias("champion", "1")
    shared = registry.share("1")
    taken = elsewhere.take("1")
    assert (taken.version, taken.key, taken.sha256) == ("2", made.key, made.sha256)
    assert (taken.tags["roc_auc"], taken.tags["verdict"], taken.tags["taken_from"]) == ("0.78", "promote", shared)
    assert taken.aliases == ()
    for name in ("MLmodel", "model.skops", "plots/roc.png", "manifest.json"):
        key = f"{made.key}/{name}"
        assert elsewhere.storage.read(key) == registry.storage.read(key)
    assert elsewhere.take("1") == taken
    assert len(elsewhere.versions()) == 2


def test_taking_goes_on_where_it_was_broken_off(registry, elsewhere, emulator):
    made = register(registry)
    registry.share("1")
    emulator.fault("PUT", "plots/roc.png", status=403, host="blob", times=9)
    with pytest.raises(Exception, match="403"):
        elsewhere.take("1")
    assert elsewhere.versions() == []
    emulator.clear_faults()
    assert elsewhere.take("1").sha256 == made.sha256
    assert elsewhere.storage.exists(f"{made.key}/plots/roc.png")


@pytest.mark.parametrize("keeps_tags", [True, False])
@pytest.mark.parametrize("file", ["model.skops", "plots/roc.png", "manifest.json"])
def test_a_file_that_was_changed_in_the_registry_is_refused_and_nothing_is_registered(
    registry, elsewhere, emulator, file, keeps_tags
):
    emulator.registry(registry.registry, keeps_tags=keeps_tags)
    key, sha256 = put(registry, "a model")
    manifest = registry.storage.read(f"{key}/manifest.json")
    made = registry.register(key, sha256=sha256, tags={"manifest_sha256": hashlib.sha256(manifest).hexdigest()})
    registry.share("1")
    forge(registry, file, manifest + b" ")
    with pytest.raises(HashMismatch, match=rf"azureml://.*/{file}: got sha256 .*changed or damaged after training"):
        elsewhere.take("1")
    assert elsewhere.versions() == []
    assert not elsewhere.storage.exists(made.key)


@pytest.mark.parametrize("tag", ["model_sha256", "manifest_sha256", "verdict"])
def test_tags_that_are_not_those_that_lie_in_the_folder_are_refused(registry, elsewhere, tag):
    made = register(registry)
    registry.share("1")
    forge(registry, "registration.json", json.dumps({"tags": {**made.tags, tag: "another"}}).encode())
    with pytest.raises(HashMismatch, match=rf"has other tags than when it was shared, .*: {tag}; find out who"):
        elsewhere.take("1")
    assert elsewhere.versions() == []


def test_no_version_is_taken_that_neither_tags_nor_folder_tell_of(registry, elsewhere, emulator, tmp_path):
    from azure.ai.ml.entities import Model

    emulator.registry(registry.registry, keeps_tags=False)
    (tmp_path / "manifest.json").write_text(json.dumps({"model_sha256": "0" * 64, "files": {}}))
    theirs = Model(name=NAME, version="1", path=str(tmp_path), type="mlflow_model", tags={"verdict": "promote"})
    registry.workspace.registry_client(registry.registry).models.create_or_update(theirs)
    with pytest.raises(ModelError, match=r"versions/1 has no tag model_sha256, by which its files could be held"):
        elsewhere.take("1")
    assert elsewhere.versions() == []


def test_no_address_that_is_signed_shows_in_an_error(registry, elsewhere, emulator):
    register(registry)
    registry.share("1")
    emulator.fault("GET", "models/", status=403, host="blob", times=99)
    with pytest.raises(Exception) as caught:
        elsewhere.take("1")
    emulator.clear_faults()
    assert "sig=" not in str(caught.value)
