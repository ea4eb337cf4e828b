"""Personal data in a finished home: who can read it, and where a client is found."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from credit_default.erasure.erasure import find_client
from credit_default.erasure.personal_data import PLACES, WITHOUT
from credit_default_tests.permissions import can_become_others, open_to_others, readable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_nothing_of_a_home_that_was_made_with_an_open_umask_can_be_read_by_others(small_home):
    # The umask of every command of these tests is 0. The way to the landing folder is all that is open.
    written_by_the_tests = {"dagster/dagster.yaml", "printed.txt"}
    found = open_to_others(small_home.home)
    assert {name: found[name] for name in found.keys() - written_by_the_tests} == {".": "0711", "lake": "0711"}
    if can_become_others():
        assert set(readable(small_home.home)) <= {"./printed.txt"}


def test_every_folder_of_a_home_is_listed_with_its_personal_data_or_without_any(small_home):
    for root, folder in (("home", small_home.home), ("lake", small_home.lake)):
        listed = {place.key.split("/")[0] for place in PLACES if place.root == root} | WITHOUT[root].keys()
        found = {path.name for path in folder.iterdir() if path.is_dir()}
        assert found - listed == set(), "a new folder has to be put on one of the two lists of core.personal_data"


def test_a_client_is_found_in_every_file_and_the_version_that_breaks_is_named(small_home):
    (development,) = small_home.lake.glob("prepared/*/development.parquet")
    learnt_from = pq.read_table(development).slice(7, 1).to_pylist()[0]
    day = min(small_home.made_days("batch_predictions"))
    arrived = small_home.predictions(day)["client_id"][3].as_py()

    footprint = find_client(small_home.settings, arrived)
    assert {hit.file for hit in footprint.hits} == {
        f"landing/inference/batch/{day}/clients.csv",
        f"landing/outcomes/{day}/outcomes.csv",
        f"inference_data/{day}/inference_data.parquet",
        f"outcomes/{day}/outcomes.parquet",
        f"predictions/{day}/predictions.parquet",
    }
    assert footprint.versions == []

    done = small_home.command("erase", learnt_from["client_id"], "--dry-run")
    assert done.returncode == 0, done.stderr
    free, bound = done.stdout.split("Cannot be erased without breaking a version")
    assert "curated_data/curated_data.parquet" in free
    for name in (f"prepared/{development.parent.name}/development.parquet", "/reference.parquet"):
        assert f"{name}  (version 1)" in bound
    # Names of files and numbers of rows, and no value of a row besides the id that was given.
    values = {str(learnt_from[name]) for name in ("credit_limit", "bill_amount_1", "payment_amount_1")} - {"0.0"}
    assert not any(value in done.stdout for value in values)
