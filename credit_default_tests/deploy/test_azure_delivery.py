"""A version on its way: shared by staging, tried there, approved into production and deployed, scored with, online."""

from __future__ import annotations

import io
import json
import os

import pytest
from click.testing import CliRunner
from rich.console import Console

from credit_default.cli.main import main
from credit_default.core import tables
from credit_default.deploy.status_table import status_table
from credit_default.resources import ledger as ledgers
from credit_default.settings import COLLECTION_KEY_VARIABLE
from credit_default_tests.deploy.delivery import Thrice
from credit_default_tests.deploy.journal import requests_that_write
from credit_default_tests.resources.served_models import model_files, other_golden_rows
from credit_default_tests.strategies import clients, csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DAY = "2026-01-31"
NAME = "credit-card-default"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def versions(delivery, files) -> dict[str, str]:
    """Three versions of staging: one that may go live, one that is held, one whose golden rows score otherwise."""
    made = {
        "good": delivery.register("staging", files, "good", "promote"),
        "held": delivery.register("staging", files, "held", "hold"),
        "broken": delivery.register("staging", {**files, "golden.parquet": other_golden_rows(files)}, "x", "promote"),
    }
    return {what: model.version for what, model in made.items()}


def lines_of_ledger(delivery, environment: str) -> list[tuple]:
    with delivery.inside(environment) as place:
        entries = ledgers.read(place.storage).entries
    return [(entry.action, entry.from_version, entry.to_version, entry.reason) for entry in entries]


@pytest.fixture(scope="module")
def shared(delivery, versions) -> Thrice:
    """The held version in the shared registry, once a person approved it."""
    refused = delivery.call("staging", "model", "share", "--version", versions["held"])
    assert refused.exit_code == 1
    assert "Version 2 may not go live: its verdict is hold" in refused.stderr
    approve = ["models", "--settings", str(delivery.files["staging"]), "approve", versions["held"]]
    approved = CliRunner().invoke(main, [*approve, "--reason", "the board wants it"])
    assert approved.exit_code == 0, approved.stderr
    assert "CREDIT_DEFAULT_ENV" not in os.environ, "the settings of a file are gone with their command"
    return delivery.thrice("staging", "model", "share", "--version", versions["held"])


@pytest.fixture(scope="module")
def staged(delivery, versions) -> Thrice:
    """The good version, live in staging."""
    arguments = ("deployment", "--version", versions["good"], "--reason", "a first model")
    return delivery.thrice("staging", *arguments)


@pytest.fixture(scope="module")
def promoted(delivery, shared) -> Thrice:
    """The held version, registered in production as its first, with an approval of its own."""
    refused = delivery.call("production", "model", "promote", shared.done["version"])
    assert refused.exit_code == 1
    assert "its verdict is hold; a person may approve it: --approve REASON" in refused.stderr
    return delivery.thrice("production", "model", "promote", shared.done["version"], "--approve", "seen in staging")


def test_a_version_is_shared_as_announced_and_once(shared, delivery):
    shared.must_be_exact()
    assert shared.done["shared_id"] == f"azureml://registries/{delivery.registry}/models/{NAME}/versions/2"


def test_a_version_goes_live_as_announced_and_the_ledger_says_why(staged, delivery):
    staged.must_be_exact()
    assert staged.done["live_version"] == "1"
    assert [one["why"] for one in staged.told["changes"] if one["kind"] == "ledger"] == ["a first model"]
    assert lines_of_ledger(delivery, "staging")[-1] == ("promote", None, "1", "a first model")


def test_a_version_is_promoted_as_announced_under_the_number_that_is_next_here(promoted, delivery):
    promoted.must_be_exact()
    assert (promoted.told["version"], promoted.done["version"]) == ("1", "1")
    assert lines_of_ledger(delivery, "production")[0] == ("approve", None, "1", "seen in staging")


def test_production_deploys_its_own_copy_of_the_version_that_was_shared(promoted, shared, delivery):
    told, _ = delivery.told("production", "deployment", "--dry-run", exits=3)
    assert [one for one in told["changes"] if one["kind"] == "model"] == []
    with delivery.inside("production") as place:
        model = place.registry.get(promoted.done["version"])
        assert (model.sha256, model.tags["taken_from"]) == (shared.done["sha256"], shared.done["shared_id"])
        assert place.endpoint.model_asset(model) == f"{NAME}:1"


def test_a_version_that_does_not_score_as_in_training_does_not_go_live(staged, versions, delivery):
    before = lines_of_ledger(delivery, "staging")
    failed = delivery.call("staging", "deployment")  # the newest, whose verdict allows it
    assert failed.exit_code == 1
    assert "golden rows" in failed.stderr.lower()
    assert lines_of_ledger(delivery, "staging") == before
    told, _ = delivery.told("staging", "deployment", "--dry-run", exits=3)
    assert told["live_version"] == versions["good"]
    assert [(one["action"], one["kind"]) for one in told["changes"]] == [
        ("unchanged", "batch deployment"),
        ("create", "smoke test"),
        ("update", "batch endpoint"),
        ("update", "ledger"),
        ("update", "alias"),
    ]


def changed(delivery, kind: str) -> list[dict]:
    """What scoring the day would change, of a kind."""
    told, _ = delivery.told("staging", "invoke", DAY, "--dry-run", exits=3)
    return [one for one in told["changes"] if one["kind"] == kind]


def test_a_day_is_scored_as_announced_read_back_and_held_to_what_is_live(staged, delivery, tmp_path):
    missing = delivery.call("staging", "invoke", DAY)
    assert missing.exit_code == 1
    assert f"No file landed for {DAY}; put one into landing/inference/batch/{DAY}/" in missing.stderr
    with delivery.inside("staging") as place:
        place.storage.write(f"landing/inference/batch/{DAY}/clients.csv", csv_text(clients(40)).encode())
        live = place.registry.get("champion")
    thrice = delivery.thrice("staging", "invoke", DAY, "--verify")
    # Scoring a day is taking it in, an invocation, and measuring its drift.
    assert {kind for kind, _ in thrice.writes} >= {"job", "data asset", "invocation"}
    thrice.must_be_exact(besides={"job"})
    done = thrice.done
    assert (done["rows"], done["model_version"], done["model_sha256"]) == (40, live.version, live.sha256)
    assert 0 < done["mean_pd"] < 1
    assert done["predictions"].endswith(f"/predictions/{DAY}/predictions.parquet")
    assert thrice.again == {**done, "run_id": None, "changes": thrice.again["changes"]}

    # What was done is in the lake: a Dagster instance that knows nothing of it, a new runner's, has nothing to do.
    delivery.write_settings("staging", CREDIT_DEFAULT_HOME=str(tmp_path))
    elsewhere, requests = delivery.told("staging", "invoke", DAY, "--verify")
    assert elsewhere == thrice.again
    assert requests_that_write(requests) == []
    drift = f"drift/{DAY}/drift.json"
    with delivery.inside("staging") as place:
        measured = place.storage.read(drift)
        place.storage.remove(drift)
        (unmeasured,) = changed(delivery, "predictions")
        place.storage.write(drift, measured)
        place.storage.write(f"landing/inference/batch/{DAY}/more.csv", csv_text(clients(2)).encode())
        (more,) = changed(delivery, "predictions")
        place.storage.remove(f"landing/inference/batch/{DAY}/more.csv")
    assert unmeasured["why"] == "the drift of these predictions was not measured"
    assert more["why"] == "nothing says that its clients were taken in from the files that are there now"

    key, fewer = f"predictions/{DAY}/predictions.parquet", tmp_path / "fewer.parquet"
    with delivery.inside("staging") as place:
        with place.storage.on_disk(key) as path:
            tables.write(tables.read(path).slice(1), fewer, data_version=tables.data_version_of(path))
        place.storage.write(key, fewer.read_bytes())
    off = delivery.call("staging", "invoke", DAY, "--verify")
    assert off.exit_code == 1
    assert "Error: The predictions of 2026-01-31 are not what version 1 makes" in off.stderr
    assert "there are 39 predictions; expected 40" in off.stderr
    with delivery.inside("staging") as place:
        place.storage.write(key, b"of somebody else")
    (unreadable,) = changed(delivery, "predictions")
    assert unreadable["action"] == "create"


def test_what_is_live_goes_online_as_announced(staged, delivery):
    nothing = delivery.call("development", "online")
    assert nothing.exit_code == 1
    assert "Nothing is live at the batch endpoint; run `credit-default deploy deployment` first" in nothing.stderr
    key = os.environ.pop(COLLECTION_KEY_VARIABLE)
    without = delivery.call("staging", "online", "--dry-run")
    os.environ[COLLECTION_KEY_VARIABLE] = key
    assert without.exit_code == 1
    assert "Error: CREDIT_DEFAULT_COLLECTION_KEY is not set" in without.stderr
    thrice = delivery.thrice("staging", "online")
    thrice.must_be_exact()
    assert thrice.done["scoring_uri"].endswith("/score")
    assert thrice.done["live_version"] == "1"
    with delivery.inside("staging") as place:
        place.online_endpoint._endpoints.begin_delete(place.online_endpoint.name).result()


def test_what_is_where_is_shown_side_by_side(staged, promoted, delivery):
    files = [part for path in delivery.files.values() for part in ("--settings", str(path))]
    result = CliRunner().invoke(main, ["deploy", *files, "status", "--json"])
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    environments = told["environments"]
    assert {name: facts["workspace"] for name, facts in environments.items()} == {
        name: workspace.name for name, workspace in delivery.workspaces.items()
    }
    versions = {name: [(m["version"], m["verdict"]) for m in facts["models"]] for name, facts in environments.items()}
    assert versions == {
        "development": [],
        "staging": [("3", "promote"), ("2", "hold"), ("1", "promote")],
        "production": [("1", "hold")],
    }
    assert environments["development"]["batch_endpoint"]["there"] is False
    assert environments["staging"]["batch_endpoint"]["live_version"] == "1"
    assert environments["staging"]["environments"]["score"]["state"] == "current"
    assert environments["development"]["environments"]["score"] == {
        "state": "missing",
        "wanted": environments["staging"]["environments"]["score"]["wanted"],
        "versions": [],
    }
    (registry,) = told["registries"]
    assert registry == delivery.registry
    # What staging deploys is its own; what it shared is there.
    assert {m["version"] for m in told["registries"][registry]["models"]} == {"2"}
    screen = Console(width=140, file=io.StringIO())
    screen.print(status_table(told))
    table = screen.file.getvalue()
    for shown in (*delivery.files, "missing", "version 1 answers", environments["staging"]["models"][2]["sha256"][:8]):
        assert shown in table


def test_an_environment_that_cannot_be_looked_at_says_so_and_the_others_are_shown(delivery, tmp_path):
    unreachable = delivery.files["production"].read_text().replace("AZURE_ML_WORKSPACE=ws-", "AZURE_ML_WORKSPACE=no-")
    (tmp_path / "production.env").write_text(unreachable)
    files = ["--settings", str(delivery.files["development"]), "--settings", str(tmp_path / "production.env")]
    result = CliRunner().invoke(main, ["deploy", *files, "status", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)["environments"]
    assert "problem" not in told["development"]
    assert told["staging"] == {"problem": "no settings", "given": False}
    assert told["production"]["problem"].startswith("Azure refused looking at it (404 ")
    shown = CliRunner().invoke(main, ["deploy", *files, "status"]).output
    assert "no settings" in shown
    assert "Azure refused" in shown


def test_a_version_that_production_trained_itself_is_refused_before_anything_is_made(delivery, files):
    own = delivery.register("production", files, "its own", "promote").version
    before = len(delivery.emulator.journal())
    for more in (["--dry-run"], [], ["--version", own]):
        refused = delivery.call("production", "deployment", *more)
        assert refused.exit_code == 1
        assert f"Version {own} was registered in workspace " in refused.stderr
        assert "production deploys what came through the shared registry" in refused.stderr
    assert requests_that_write(delivery.emulator.journal()[before:]) == []
