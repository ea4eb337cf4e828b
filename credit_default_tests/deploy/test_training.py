"""What `deploy train` announces, and what it tells of its run; a real training is run by `test_workflow_runs.py`."""

from __future__ import annotations

import dagster as dg
import pytest

from credit_default.deploy import training
from credit_default.resources.azure.jobs import job_environments
from credit_default_tests.deploy.journal import requests_that_write
from credit_default_tests.resources.served_models import model_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


def announced(delivery) -> list[tuple[str, str, bool]]:
    told, requests = delivery.told("staging", "train", "--dry-run", exits=3)
    assert requests_that_write(requests) == []
    return [(one["kind"], one["name"], one["certain"]) for one in told["changes"]]


def test_a_dry_run_says_what_is_made_and_what_depends_on_what_the_training_finds(delivery, files):
    missing = [
        ("datastore", "credit_default", True),
        *(("environment", job_environments.reference(kind), True) for kind in ("train", "score", "drift")),
    ]
    following = [("data asset", "curated_data", False), ("model", "credit-card-default:1", True)]
    assert announced(delivery) == [*missing, *following, ("alias", "challenger", False)]

    delivery.told("staging", "environments")
    delivery.register("staging", files, "first", "promote")
    following[1] = ("model", "credit-card-default:2", True)
    assert announced(delivery) == [*following, ("alias", "challenger", False)]


@pytest.fixture
def run_that_somebody_overtakes(delivery, files, monkeypatch):
    """A run that registers a version without training one, while somebody else registers a newer one."""

    def launch(job, log, *, config=None):
        assert (job, config) == ("train_model", {"ops": {"trained_model": {"config": {"trials": 3}}}})

        @dg.asset
        def registered_model():
            ours = delivery.register("staging", files, "ours", "hold")
            delivery.register("staging", files, "another run's", "promote")
            return dg.MaterializeResult(metadata={"version": ours.version})

        run = dg.Definitions(assets=[registered_model]).resolve_implicit_global_asset_job_def()
        with dg.DagsterInstance.get() as instance:
            return run.execute_in_process(instance=instance).run_id

    monkeypatch.setattr(training, "launch", launch)


def test_it_tells_of_the_version_that_its_own_run_registered(delivery, run_that_somebody_overtakes):
    told, _ = delivery.told("staging", "train", "--trials", "3")
    with delivery.inside("staging") as place:
        newest, ours = place.registry.versions()[:2]
    assert (told["version"], told["verdict"]) == (ours.version, "hold")
    assert newest.tags["verdict"] == "promote"
    assert told["run_id"]


def test_production_trains_nothing(delivery):
    refused = delivery.call("production", "train")
    assert refused.exit_code == 1
    assert "Production trains nothing" in refused.stderr


def test_the_size_of_the_search_is_held_to_its_bounds(delivery):
    for trials in ("0", "501", "many"):
        assert delivery.call("staging", "train", "--trials", trials).exit_code == 2
