"""Where a prediction is: by the event log at once, and by the files where that knows nothing."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.scoring.predictions import Origin, Scores, write_predictions
from credit_default.resources.local.storage import LocalStorage
from credit_default.tracing.history import History
from credit_default.tracing.locating import Located, inputs_of, locate
from credit_default_tests.strategies import clients, typed

DAYS = ["2026-01-29", "2026-01-30", "2026-01-31"]
SHA256, OTHER_SHA256 = "a" * 64, "b" * 64
MOMENT = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return LocalStorage(root=str(tmp_path / "lake"))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The keys of files that were opened."""
    keys: list[str] = []
    on_disk = LocalStorage.on_disk

    def remember(self, key):
        keys.append(key)
        return on_disk(self, key)

    monkeypatch.setattr(LocalStorage, "on_disk", remember)
    return keys


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def scored(storage, instance):
    """Let a day be scored: writes its predictions, records them if asked to, and gives the prefix of their ids."""

    def run(day: str, key: str = "", *, sha256=SHA256, at=MOMENT, record=True) -> str:
        path = storage.path(key or f"predictions/{day}/predictions.parquet")
        origin = Origin("credit-card-default", "1", sha256, f"input of {day}", at)
        scores = Scores(pa.array(["A", "B"]), np.array([0.1, 0.9]), np.array([False, True]))
        told = write_predictions(iter([scores]), path, origin, as_of=date.fromisoformat(day), run_id="run")
        if record:
            event = dg.AssetMaterialization(
                "batch_predictions",
                partition=day,
                metadata={name: told[name] for name in ("model_sha256", "input_data_version")},
                tags={"dagster/data_version": told["data_version"]},
            )
            instance.report_runless_asset_event(event)
        return str(tables.read(path)["prediction_id"][0].as_py()).split("-", maxsplit=1)[0]

    return run


def test_the_event_log_says_which_day_it_is_and_no_other_is_opened(storage, instance, scored, opened):
    prefixes = {day: scored(day) for day in DAYS}
    key = f"predictions/{DAYS[0]}/predictions.parquet"
    assert locate(storage, History(instance), prefixes[DAYS[0]]) == Located(DAYS[0], key)
    assert opened == [key]


def test_without_a_record_the_files_are_looked_through_newest_day_first(storage, instance, scored, opened):
    prefixes = {day: scored(day, record=False) for day in DAYS}
    assert locate(storage, History(instance), prefixes[DAYS[1]]).day == DAYS[1]
    assert [key.split("/")[1] for key in opened] == [DAYS[2], DAYS[1]]
    assert locate(storage, History(instance), "0" * 16) is None


def test_of_predictions_with_the_same_ids_the_present_ones_count_then_the_newest(storage, instance, scored):
    old, older = (f"superseded_predictions/{DAYS[0]}/{name}.parquet" for name in ("a", "b"))
    for key, at in ((old, MOMENT), (older, MOMENT - timedelta(days=1))):
        prefix = scored(DAYS[0], key, at=at)
    assert locate(storage, History(instance), prefix) == Located(DAYS[0], old, (older,))
    present = f"predictions/{DAYS[0]}/predictions.parquet"
    scored(DAYS[0], at=MOMENT - timedelta(days=2))
    assert locate(storage, History(instance), prefix) == Located(DAYS[0], present, (old, older))


def test_predictions_that_another_model_replaced_are_found_among_those(storage, instance, scored):
    kept = f"superseded_predictions/{DAYS[0]}/a.parquet"
    prefix = scored(DAYS[0], kept)
    scored(DAYS[0], sha256=OTHER_SHA256)
    assert locate(storage, History(instance), prefix) == Located(DAYS[0], kept)


def test_what_was_recorded_and_is_in_no_file_has_its_day_and_no_key(storage, instance, scored):
    prefix = scored(DAYS[0])
    storage.remove(f"predictions/{DAYS[0]}/predictions.parquet")
    assert locate(storage, History(instance), prefix) == Located(DAYS[0], None)


@pytest.mark.parametrize("content", [b"", b"no Parquet file"])
def test_what_was_recorded_is_in_the_file_that_cannot_be_read(storage, instance, scored, content):
    prefix, key = scored(DAYS[0]), f"predictions/{DAYS[0]}/predictions.parquet"
    storage.write(key, content)
    assert locate(storage, History(instance), prefix) == Located(DAYS[0], key)


def a_table(storage, key: str, start: int) -> str:
    table = typed(clients(2, start=start))
    version = tables.content_hash(table)
    tables.write(table, storage.path(key), data_version=version)
    return version


def test_the_input_of_a_prediction_is_the_present_table_or_one_that_it_replaced(storage):
    present, kept = (f"{folder}/{DAYS[0]}/{name}.parquet" for folder, name in (
        ("inference_data", "inference_data"), ("superseded_inference_data", "a")))  # fmt: skip
    new, old = a_table(storage, present, 0), a_table(storage, kept, 2)
    assert inputs_of(storage, DAYS[0], new, [])[0] == present
    assert inputs_of(storage, DAYS[0], old, [])[0] == kept
    assert inputs_of(storage, DAYS[0], "0" * 32, []) is None


def test_runs_are_known_by_their_first_attempt(instance):
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    instance.add_run(dg.DagsterRun("score_batch", run_id=first))
    instance.add_run(dg.DagsterRun("score_batch", run_id=second, root_run_id=first, parent_run_id=first))
    history = History(instance)
    assert history.root_of(second) == history.root_of(first) == first
    assert history.run("nobody") is None
    assert history.root_of("nobody") == "nobody"
    assert history.began("nobody") is None
    assert history.began(second) == history.run(first).started


def test_events_are_read_to_the_last_page(instance):
    for day in DAYS:
        instance.report_runless_asset_event(dg.AssetMaterialization("batch_predictions", partition=day))
    history = History(instance)
    assert [day for day, _ in history.of("batch_predictions", page=1)] == DAYS[::-1]
    assert [day for day, _ in history.of("batch_predictions", DAYS[1])] == [DAYS[1]]
    assert (history.is_empty("batch_predictions"), history.is_empty("trained_model")) == (False, True)
