"""A home that an earlier version of this program made goes on: nothing that is on disk depends on where a module lies.

``earlier/home.tar.xz`` was made before the modules were moved into packages: a table of 3,000 clients, two models, the
second approved by hand, two days scored (one of them twice), outcomes of one. Its folder was another one, too.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from credit_default_tests.end_to_end import shifting_clients
from credit_default_tests.end_to_end.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ARCHIVE = Path(__file__).parent / "earlier" / "home.tar.xz"
BOTH, REPLACED, NEXT = "2026-01-05", "2026-01-06", "2026-01-07"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> World:
    """The home as it was, and then used by the program of today."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    world = World(folder / "home", {"CREDIT_DEFAULT_START": "2026-01-01"})
    world.archived = {day: world.predictions(day) for day in (BOTH, REPLACED)}
    return world


def history(world: World) -> list[dict[str, object]]:
    done = world.command("models", "history", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("day", [BOTH, REPLACED])
def test_its_predictions_are_traced_to_their_source(earlier, day):
    prediction = earlier.archived[day].column("prediction_id")[3].as_py()
    done = earlier.command("trace", prediction)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing on the way was altered." in done.stdout


def test_its_promotions_are_known(earlier):
    entries = history(earlier)[-3:]
    assert sorted((entry["number"], entry["action"], entry["to_version"]) for entry in entries) == [
        (1, "promote", "1"),
        (2, "approve", "2"),
        (3, "promote", "2"),
    ]


def test_its_instance_has_the_run_launcher_that_its_configuration_names(earlier):
    configured = (earlier.home / "dagster" / "dagster.yaml").read_text("utf-8")
    launcher = type(earlier.instance.run_launcher)
    assert f"module: {launcher.__module__}" in configured
    assert f"class: {launcher.__name__}" in configured


def test_its_next_day_is_scored_and_it_goes_back_to_the_version_before(earlier):
    earlier.land(NEXT, "clients.csv", shifting_clients.day_csv(2, shifted=False))
    done = earlier.command("run", "score_batch", "--day", NEXT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(earlier.predictions(NEXT).column("model_version").to_pylist()) == {"2"}
    assert earlier.drift(NEXT)["model_version"] == "2"
    done = earlier.command("models", "rollback", "--reason", "as before")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Version 1 is live; before it: version 2." in done.stdout
    newest = max(history(earlier), key=lambda entry: entry["number"])
    assert (newest["action"], newest["to_version"], newest["reason"]) == ("rollback", "1", "as before")
    # What was made before is left as it was.
    assert all(earlier.predictions(day).equals(table) for day, table in earlier.archived.items())
