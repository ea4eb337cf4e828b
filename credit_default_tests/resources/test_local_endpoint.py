"""What is said of the local endpoint in its file."""

from __future__ import annotations

import json

from credit_default.resources import resources_for
from credit_default.resources.ports import EndpointState
from credit_default.settings import read


def test_the_state_file_says_when_it_changed(tmp_path):
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    endpoint = ports["endpoint"]
    endpoint._save(EndpointState(("1",), None, None))
    endpoint.make_default("1", changed_by="run")
    kept = json.loads(ports["storage"].read("endpoints/credit-card-default-be.json"))
    assert kept["changed_at"].endswith("+00:00")
    assert (kept["default"], kept["changed_by"]) == ("1", "run")
