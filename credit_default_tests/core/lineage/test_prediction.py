"""What a trace says of predictions, inputs and landed files, where a home that is whole does not lead."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from credit_default.core.contract.contract import accept
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.lineage import prediction
from credit_default.core.lineage.evidence import Finding, IngestionRecord, Recorded
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, SOURCE_FILE, SOURCE_ROW
from credit_default_tests.strategies import clients, write_csv, write_parquet

DAY = "2026-01-31"
NOW = datetime(2026, 1, 31, 6, tzinfo=UTC)
SHARED = {"model_version": "3", "model_sha256": "f" * 64, "input_data_version": "1" * 32, "run_id": "first"}


def recorded(version: str = "1" * 32, *, run_id: str = "run", at: datetime = NOW, **metadata) -> Recorded:
    return Recorded(run_id=run_id, at=at, data_version=version, code_version="c0de", metadata=metadata)


@pytest.mark.parametrize(
    ("prediction_id", "parsed"),
    [
        ("0123456789abcdef-1", ("0123456789abcdef", 1)),
        ("0123456789abcdef-1200300", ("0123456789abcdef", 1_200_300)),
        ("0123456789abcdef-0", None),
        ("0123456789abcdef-01", None),
        ("0123456789ABCDEF-1", None),
        ("0123456789abcde-1", None),
        ("0123456789abcdef-1\n", None),
        ("0123456789abcdef-" + "9" * 30, None),
        ("", None),
    ],
)
def test_an_id_is_sixteen_digits_and_the_number_of_a_row(prediction_id, parsed):
    assert prediction.parse_id(prediction_id) == parsed


class TestTheEventLogOfPredictions:
    def found(self, *events: Recorded, attempts=("first",), log_is_empty=False) -> Finding:
        return prediction.of_prediction_record(SHARED, "d" * 32, events, attempts=attempts, log_is_empty=log_is_empty)

    def made(self, run_id: str = "first", version: str = "d" * 32, **changes) -> Recorded:
        told = {name: value for name, value in SHARED.items() if name != "run_id"}
        return recorded(version, run_id=run_id, **{**told, **changes})

    def test_predictions_that_their_run_recorded_are_fine(self):
        assert self.found(self.made("other", "e" * 32), self.made()).verdict == "ok"

    def test_predictions_that_a_later_attempt_of_their_run_recorded_are_fine(self):
        # The first attempt was killed, and the second found its job.
        assert self.found(self.made("second"), attempts=("first", "second")).verdict == "ok"

    def test_predictions_that_another_run_recorded_are_not(self):
        found = self.found(self.made("other"))
        assert (found.verdict, "run first did not" in found.detail) == ("altered", True)

    def test_predictions_of_another_version_of_the_model_were_recorded(self):
        found = self.found(self.made(model_version="4"))
        assert (found.verdict, "model_version" in found.detail) == ("altered", True)

    def test_a_day_that_was_never_recorded_is_told_from_a_log_that_holds_nothing(self):
        assert self.found().verdict == "missing"
        assert self.found(log_is_empty=True).verdict == "cannot be checked"


@pytest.fixture
def landed(tmp_path):
    """A file, and the row that is looked for as it was taken in."""
    path = write_csv(tmp_path / "clients.csv", clients(5))
    return path, accept([path], dataset="inference").table.slice(2, 1).to_pylist()[0]


def taken_in(version: str, at: datetime = NOW, **files: str) -> Recorded:
    """What was recorded of a day, with the sha256 of each file."""
    table = [{"file": f"{name}.csv", "sha256": sha256} for name, sha256 in files.items()]
    return recorded(version, at=at, files=table)


def verdicts(path, row, *, then, newest=None) -> dict[str, str]:
    found = prediction.of_landing(path, row, day=DAY, taken_in=then, newest=newest or then[0])
    return {one.what: one.verdict for one in found}


class TestTheLandedFile:
    def test_a_file_that_is_as_it_was_holds_the_row(self, landed):
        path, row = landed
        assert (row[SOURCE_FILE], row[SOURCE_ROW]) == ("clients.csv", 3)
        then = [taken_in("1", clients="0" * 64), taken_in("1", clients=sha256_of(path))]
        assert verdicts(path, row, then=then) == {"file": "ok", "row": "ok"}, "the same rows were taken in twice"

    def test_a_parquet_file_is_read_again_as_well(self, tmp_path):
        path = write_parquet(tmp_path / "clients.parquet", clients(5))
        row = accept([path], dataset="inference").table.slice(4, 1).to_pylist()[0]
        then = [recorded(files=[{"file": path.name, "sha256": sha256_of(path)}])]
        assert verdicts(path, row, then=then) == {"file": "ok", "row": "ok"}

    @pytest.mark.parametrize("client_id", ["clients.csv:3", f"{DAY}/clients.csv:3"])
    def test_a_made_id_is_that_of_its_row_whether_it_holds_its_day_or_not_yet(self, tmp_path, client_id):
        path = write_csv(tmp_path / "clients.csv", clients(5), FEATURE_NAMES)
        row = accept([path], dataset="inference", day=DAY).table.slice(2, 1).to_pylist()[0]
        then = [taken_in("1", clients=sha256_of(path))]
        assert verdicts(path, {**row, CLIENT_ID: client_id}, then=then) == {"file": "ok", "row": "ok"}
        other = {**row, CLIENT_ID: "2026-01-30/clients.csv:3"}
        assert verdicts(path, other, then=then) == {"file": "ok", "row": "altered"}

    def test_a_file_without_a_recorded_hash_is_held_to_the_row_alone(self, landed):
        path, row = landed
        assert verdicts(path, row, then=[recorded(files="clients.csv")]) == {"file": "cannot be checked", "row": "ok"}

    def test_a_row_that_breaks_the_contract_now_is_told_without_its_values(self, landed):
        path, row = landed
        before = sha256_of(path)
        write_csv(path, [{**client, "age": "secret-cell"} for client in clients(5)])
        found = list(prediction.of_landing(path, row, day=DAY, taken_in=[taken_in("1", clients=before)], newest=None))
        assert [(one.what, one.verdict) for one in found] == [("file", "altered"), ("row", "altered")]
        assert not any("secret-cell" in one.detail for one in found)

    def test_a_file_that_another_one_replaced_is_no_alteration_once_that_was_taken_in(self, landed):
        path, row = landed
        then, later = taken_in("1", clients="0" * 64), NOW + timedelta(hours=1)
        since = taken_in("2", later, clients=sha256_of(path))
        assert verdicts(path, row, then=[then], newest=since) == {"file": "cannot be checked"}
        other = taken_in("2", later, clients="1" * 64)
        assert verdicts(path, row, then=[then], newest=other) == {"file": "altered", "row": "ok"}

    @pytest.mark.timeout(20)
    def test_what_took_its_place_and_is_no_file_is_an_alteration_and_is_not_read(self, landed):
        path, row = landed
        then = [taken_in("1", clients=sha256_of(path))]
        elsewhere = path.rename(path.with_name("elsewhere.csv"))
        path.symlink_to(elsewhere)
        assert verdicts(path, row, then=then) == {"file": "altered"}
        path.unlink()
        os.mkfifo(path)
        assert verdicts(path, row, then=then) == {"file": "altered"}

    def test_a_file_that_was_taken_away_is_missing_unless_the_day_was_taken_in_without_it(self, landed):
        _, row = landed
        then = taken_in("1", clients="0" * 64)
        assert verdicts(None, row, then=[then]) == {"file": "missing"}
        assert verdicts(None, row, then=[then], newest=taken_in("2", others="1" * 64)) == {"file": "cannot be checked"}
        assert verdicts(None, row, then=[then], newest=taken_in("2", clients="1" * 64)) == {"file": "missing"}


KEPT = IngestionRecord("f" * 16, "1")


@pytest.mark.parametrize(
    ("kept", "is_there", "recorded", "verdict"),
    [
        (KEPT, True, {"landing_fingerprint": "f" * 16}, "ok"),
        (KEPT, True, {}, "ok"),  # as an older platform recorded it
        (KEPT, True, {"landing_fingerprint": "0" * 16}, "altered"),
        (IngestionRecord("f" * 16, "2"), True, {}, "altered"),
        (None, True, {}, "altered"),
        (None, False, {}, "missing"),
        # Another Dagster instance has taken the day in.
        (KEPT, True, None, "ok"),
        (IngestionRecord("f" * 16, "2"), True, None, "cannot be checked"),
        (None, False, None, "cannot be checked"),
    ],
)
def test_what_is_kept_about_the_files_of_a_table_is_held_to_it_and_to_the_event_log(kept, is_there, recorded, verdict):
    newest = Recorded("run", NOW, "1", "c", recorded) if recorded is not None else None
    found = prediction.of_taken_in(kept, is_there=is_there, version="1", newest=newest, landed="f" * 16)
    assert (found.step, found.what, found.verdict) == ("input row", "taken in", verdict)
