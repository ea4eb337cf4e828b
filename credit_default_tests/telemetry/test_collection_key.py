"""The private key of collected inputs: given, or made once on this machine, and never quoted."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from credit_default import settings
from credit_default.errors import SettingsError
from credit_default.telemetry.collection_key import is_there, private_keys
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key

VARIABLE = "CREDIT_DEFAULT_COLLECTION_KEY"


@pytest.fixture
def local(tmp_path) -> settings.Settings:
    return settings.read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")})


@pytest.fixture
def azure(tmp_path) -> settings.Settings:
    return settings.read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home"), "CREDIT_DEFAULT_ENV": "production"})


def test_on_this_machine_a_key_is_made_at_first_use_and_kept_for_its_owner(local):
    made = private_keys(local, {})
    (file,) = local.home.iterdir()
    assert file.name == "collection_key.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert private_keys(local, {}).public() == made.public()
    assert is_there(local, {})


def test_processes_that_need_a_key_at_once_get_the_same(local):
    code = (
        "from credit_default import settings; from credit_default.telemetry.collection_key import private_keys\n"
        f"print(private_keys(settings.read({{'CREDIT_DEFAULT_HOME': {str(local.home)!r}}}), {{}}).public())"
    )

    def ask(_: int) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    assert [file.name for file in local.home.iterdir()] == ["collection_key.json"]


def test_a_key_that_is_given_is_the_one_in_every_environment(local, azure):
    key = new_key()
    expected = PrivateKeys.read(key, VARIABLE).public()
    for one in (local, azure):
        assert private_keys(one, {VARIABLE: f" {key}\n"}).public() == expected
        assert is_there(one, {VARIABLE: key})
        assert not one.home.exists()


def test_of_a_set_the_first_seals_and_all_open(azure):
    old, new = new_key(), new_key()
    keys = private_keys(azure, {VARIABLE: json.dumps({"keys": [json.loads(new), json.loads(old)]})})
    sealed = PublicKey.read(PrivateKeys.read(old, VARIABLE).public(), "PUBLIC_KEY").seal(b"before")
    assert keys.open(sealed) == b"before"
    assert keys.public() == PrivateKeys.read(new, VARIABLE).public()


def test_on_azure_it_has_to_be_given_and_the_error_says_how_to_make_one(azure):
    assert not is_there(azure, {VARIABLE: " "})
    with pytest.raises(SettingsError, match=f"^{VARIABLE} is not set; .*`credit-default collection-key`"):
        private_keys(azure, {})
    assert not azure.home.exists()


@pytest.mark.parametrize("given", ["hunter2", '{"kty": "oct", "k": "hunter2"}'])
def test_a_malformed_key_is_refused_and_not_quoted(local, given):
    with pytest.raises(SettingsError, match=f"^{VARIABLE} is malformed") as caught:
        private_keys(local, {VARIABLE: given})
    assert "hunter2" not in str(caught.value)


def test_a_file_that_somebody_damaged_is_named_and_not_replaced(local):
    local.home.mkdir()
    file = local.home / "collection_key.json"
    file.write_text("hunter2")
    with pytest.raises(SettingsError, match=r"collection_key\.json is malformed"):
        private_keys(local, {})
    assert file.read_text() == "hunter2"
