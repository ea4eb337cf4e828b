"""From a request to the drift of its day: served, collected, exported, scored, measured; and nobody is named."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credit_default.core.schema import FEATURE_NAMES
from credit_default_tests.end_to_end.world import World, ago, new_clients
from credit_default_tests.served import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

REQUESTS, CLIENTS = 40, 10


@pytest.fixture(scope="module")
def asked(small_home, tmp_path_factory) -> tuple[World, str, dict[str, float]]:
    """A home whose live model was asked and whose day was exported; the day, and the answers by client."""
    world = small_home.copy_to(tmp_path_factory.mktemp("online") / "home")
    command = [str(Path(sys.executable).with_name("credit-default")), "serve", "--port", "0"]
    rows = [{**row, "client_id": f"Sentinel-{n}"} for n, row in enumerate(new_clients(REQUESTS * CLIENTS))]
    day = ago(0)
    with served(command, world.environment, world.home) as server:
        bodies = [rows[start : start + CLIENTS] for start in range(0, len(rows), CLIENTS)]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(server.post, bodies))
        # The last request once more, with another age of everybody: these count.
        status, last = server.post([{**row, "age": 60} for row in bodies[-1]])
        assert server.end() == 0
    assert {status, *(status for status, _ in answers)} == {200}
    assert {told["model_version"] for _, told in answers} == {world.live()["version"]}
    for job in ("export_online_inputs", "score_batch"):
        done = world.run_job(job, day)
        assert done.returncode == 0, done.stderr
    found = [row for told in (*(told for _, told in answers), last) for row in told["predictions"]]
    return world, day, {row["client_id"]: row["probability_of_default"] for row in found}


def test_the_day_is_scored_as_it_was_answered(asked):
    world, day, answers = asked
    figures = {name: value.value for name, value in world.made_days("online_inputs")[day].metadata.items()}
    assert figures.items() >= {"requests": REQUESTS + 1, "clients": REQUESTS * CLIENTS, "repeated": CLIENTS}.items()
    assert (figures["export"], figures["unreadable"]) == ("written", 0)
    predictions = world.predictions(day)
    assert all(name.startswith("online-") for name in predictions["client_id"].to_pylist())
    assert sorted(predictions["probability_of_default"].to_pylist()) == pytest.approx(
        sorted(answers.values()), abs=1e-12
    )


def test_its_drift_is_measured(asked):
    world, day, _ = asked
    drift = world.drift(day)
    assert drift["n_rows"] == REQUESTS * CLIENTS
    assert {feature["feature_name"] for feature in drift["features"]} == set(FEATURE_NAMES)
    (told,) = world.query(
        "customMetrics | where name == 'credit_default/online_rows' | project value, customDimensions"
    )
    assert told["value"] == (REQUESTS + 1) * CLIENTS
    assert json.loads(told["customDimensions"])["partition"] == day


def test_a_second_export_changes_nothing(asked):
    world, day, _ = asked
    before = world.hashes("landing", "predictions", "drift")
    done = world.run_job("export_online_inputs", day)
    assert done.returncode == 0, done.stderr
    assert world.made_days("online_inputs")[day].metadata["export"].value == "unchanged"
    assert world.hashes("landing", "predictions", "drift") == before


def test_nobody_is_named_anywhere_in_the_home(asked):
    world, _, _ = asked
    assert [name for name, text in world.told().items() if "Sentinel" in text] == []
    assert [path for path in world.lake.rglob("*") if path.is_file() and b"Sentinel" in path.read_bytes()] == []
