"""The way of online inputs on Azure: to Application Insights through either sender, and back through Azure Monitor."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import dagster as dg
import pyarrow.parquet as pq
import pytest

from credit_default.defs.assets import online_inputs
from credit_default.defs.automation.jobs import export_online_inputs
from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.telemetry.encryption import PrivateKeys, new_key
from credit_default_tests import trained
from credit_default_tests.platforms import azure_storage, telemetry_of
from credit_default_tests.served import script_of, served
from credit_default_tests.strategies import client, clients

pytestmark = pytest.mark.slow

KEY = new_key()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "3"
    return folder, trained.save(folder)["model_sha256"]


@pytest.mark.parametrize("exporter", ["opencensus", "opentelemetry"])
def test_what_was_asked_lands_once_though_telemetry_was_out_for_a_while(  # noqa: PLR0917 - pytest's fixtures
    azure, emulator, instance, model, monkeypatch, tmp_path, exporter
):
    monkeypatch.setenv("CREDIT_DEFAULT_COLLECTION_KEY", KEY)
    connection = os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"]
    command, environment = script_of(
        *model,
        PrivateKeys.read(KEY, "KEY").public(),
        APPLICATIONINSIGHTS_CONNECTION_STRING=connection,
        CREDIT_DEFAULT_TELEMETRY=exporter,
        TMPDIR=str(tmp_path),  # where it keeps what it cannot send, there being no folder of telemetry
    )
    day = datetime.now(UTC).date().isoformat()
    rows = [client(number, client_id=f"Sentinel-{number}") for number in range(60)]
    with served(command, environment, tmp_path) as server:
        # An answer of telemetry that is lost: it has taken the records, and is sent them again.
        emulator.fault("POST", "/v2.1/track", lose=True)
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(server.post, [rows[start : start + 2] for start in range(0, 60, 2)]))
        assert [status for status, _ in answers] == [200] * 30
        assert server.end() == 0
    # What waits is sent after the next success, a minute later.
    _age(tmp_path / "credit-default")
    with served(command, environment, tmp_path) as server:
        assert server.post(clients(1, start=60))[0] == 200
        assert server.end() == 0

    telemetry = telemetry_of("azure", tmp_path / "telemetry", exporter)
    assert len(telemetry.query(online_inputs.QUERY)) > 31, "some were sent twice"
    definitions = dg.Definitions(
        assets=online_inputs.ASSETS,
        jobs=[export_online_inputs],
        resources={"storage": azure_storage(), "telemetry": telemetry},
    )
    job = definitions.resolve_job_def("export_online_inputs")
    assert job.execute_in_process(instance=instance, tags={RANGE_START: day, RANGE_END: day}).success
    with azure_storage().on_disk(f"landing/inference/batch/{day}/online.parquet") as file:
        assert pq.read_table(file).num_rows == 61
    (record,) = instance.fetch_materializations(dg.AssetKey("online_inputs"), limit=9).records
    figures = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    assert (figures["requests"], figures["rows"], figures["unreadable"]) == (31, 61, 0)
    assert "Sentinel" not in json.dumps(emulator.ingested())
    assert "Sentinel" not in server.printed.read_text()


def _age(folder) -> None:
    """Let the time pass after which what waits in a folder is tried again: it is in the names of the files."""
    for path in folder.rglob("*.lock"):
        path.rename(path.with_name(path.name.partition("@")[0]))
