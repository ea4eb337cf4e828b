"""Tables as versions of Azure ML data assets: one for each content, at a place of its own, made once."""

from __future__ import annotations

import threading

import pytest
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Data

from credit_default.errors import StorageError
from credit_default.resources.azure.assets import catalogue
from credit_default_tests.platforms import azure_storage

KEY = "curated_data/curated_data.parquet"


@pytest.fixture
def storage(azure):
    made = azure_storage()
    made.write(KEY, b"first")
    return made


@pytest.fixture
def assets(storage):
    """The data assets of the workspace, as anybody sees them."""
    return storage.workspace.client().data


def registrations(emulator) -> int:
    return sum(request["method"] == "PUT" and "/data/" in request["path"] for request in emulator.journal())


def test_a_version_points_at_a_copy_that_a_new_table_leaves_alone(storage, assets):
    assert storage.catalogue("curated_data", KEY, version="aaaa") == "aaaa"
    storage.write(KEY, b"second")
    assert storage.catalogue("curated_data", KEY, version="bbbb") == "bbbb"
    for version, content in (("aaaa", b"first"), ("bbbb", b"second")):
        found = assets.get("curated_data", version)
        assert found.type == AssetTypes.URI_FILE
        key = f"data_assets/curated_data/{version}/curated_data.parquet"
        assert found.path.startswith("azureml://")
        assert found.path.endswith(f"/datastores/credit_default/paths/{key}")
        assert storage.read(key) == content


def test_the_same_content_is_registered_once(storage, assets, emulator):
    storage.catalogue("inference_data", KEY, version="2026-01-31-0123456789abcdef")
    before = registrations(emulator)
    assert storage.catalogue("inference_data", KEY, version="2026-01-31-0123456789abcdef")
    assert registrations(emulator) == before
    assert [found.version for found in assets.list("inference_data")] == ["2026-01-31-0123456789abcdef"]


def test_who_comes_second_takes_what_is_there(storage, assets, monkeypatch):
    # Somebody registers another path under this version after we have looked, which Azure refuses us.
    seen = iter([False, True])
    monkeypatch.setattr(catalogue, "is_there", lambda *_: next(seen))
    other = Data(name="curated_data", version="aaaa", path=storage.datastore_uri("other"), type=AssetTypes.URI_FILE)
    assets.create_or_update(other)
    assert storage.catalogue("curated_data", KEY, version="aaaa") == "aaaa"
    assert next(seen, None) is None, "the refusal was not looked into"


def test_two_at_once_make_one_version(storage, assets):
    errors = []

    def enter() -> None:
        try:
            azure_storage().catalogue("curated_data", KEY, version="aaaa")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            errors.append(error)

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(assets.list("curated_data"))) == 1


def test_a_refusal_that_has_another_reason_is_told(storage, emulator):
    emulator.fault("PUT", "/data/curated_data/", status=403)
    with pytest.raises(StorageError, match=r"refused version aaaa of data asset curated_data \(403.*Data Scientist"):
        storage.catalogue("curated_data", KEY, version="aaaa")


def test_a_token_that_is_refused_is_replaced_by_a_fresh_one(storage, assets, emulator):
    storage.catalogue("curated_data", KEY, version="aaaa")
    emulator.expire_tokens()
    storage.catalogue("curated_data", KEY, version="bbbb")
    assert {found.version for found in assets.list("curated_data")} == {"aaaa", "bbbb"}
