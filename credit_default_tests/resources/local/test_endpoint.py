"""What is said of the local endpoint in its file."""

from __future__ import annotations

import json

import pytest

from credit_default.errors import DamagedFile, StorageError
from credit_default.ports import EndpointState, ModelVersion
from credit_default.resources import resources_for
from credit_default.settings import read
from credit_default_tests.resources.served_models import in_a_run


def test_the_state_file_says_when_it_changed(tmp_path):
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    endpoint = ports["endpoint"]
    endpoint._save(EndpointState(("1",), None, None))
    endpoint.make_default("1", changed_by="run")
    kept = json.loads(ports["storage"].read("endpoints/credit-card-default-be.json"))
    assert kept["changed_at"].endswith("+00:00")
    assert (kept["default"], kept["changed_by"]) == ("1", "run")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "got an empty file"),
        (b'{"deployments": ["1"], "defau', "no JSON or only a part of it"),
        (b"[]", "JSON that is a list and no object"),
        (b"{}", "no 'deployments'"),
        (b'{"deployments": "12", "default": "1", "previous": null}', "a str as 'deployments'"),
        (b'{"deployments": ["1"], "default": ["1"], "previous": null}', "versions that are no text"),
        (b'{"deployments": [1], "default": "1", "previous": null}', "versions that are no text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "no JSON"),
    ],
)
@pytest.mark.parametrize("name", ["endpoint", "online_endpoint"])
def test_a_state_file_that_is_torn_is_called_so_with_what_to_do(tmp_path, name, content, told):
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    endpoint = ports[name]
    ports["storage"].write(endpoint._key, content)
    for ask in (endpoint.state, lambda: endpoint.make_default("1")):
        with pytest.raises(DamagedFile, match=rf"endpoints/.*\.json is damaged: .*{told}.*put back a copy"):
            ask()


def test_a_model_whose_tag_leads_out_of_the_lake_is_not_scored_with(tmp_path):
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    (tmp_path / "outside").mkdir()
    model = ModelVersion("m", "1", "../../outside", "0" * 64, {})
    for name in ("endpoint", "online_endpoint"):
        with pytest.raises(StorageError, match="leads out of the lake"):
            in_a_run(lambda context, name=name: ports[name].deploy(context, model))
