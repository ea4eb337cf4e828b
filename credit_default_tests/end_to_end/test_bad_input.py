"""Everything that can be wrong with what arrives, in one real run: each on a day of its own, none hurts another."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

import credit_default
from credit_default.core.schema import FEATURE_NAMES
from credit_default_tests.end_to_end.world import World, ago, days_from, new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 60
LOW_ACCEPTANCE = Path(credit_default.__file__).parent / "deploy" / "queries" / "low_acceptance.kql"
#: Values that stand in cells of bad files: no message, log or metadata may repeat them.
WORD, NUMBER = "Zyxwelt", "-74185296"
#: A sound value of one client alone, which is the greatest of its day: no report may show it.
SINGLE = "12345677.25"
FIRST = ago(60)
#: More columns than a file may have.
WIDE = [f"more {number}" for number in range(1000)]


def rows(**first: object) -> list[dict[str, object]]:
    """New clients; the first of them is changed."""
    made = new_clients(ROWS)
    made[0] |= first
    return made


def each_row(name: str, *values: object) -> str:
    """New clients that have these values in turn."""
    return csv_text([row | {name: values[number % len(values)]} for number, row in enumerate(rows())])


def truncated_parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(education=WORD)), buffer)
    return buffer.getvalue()[:-200]


def in_another_order_with_more_columns() -> str:
    more = [{"segment": WORD, **row, "age": int(row["age"]), "branch": 7} for row in rows()]
    return csv_text(more, ["branch", *reversed(FEATURE_NAMES), "client_id", "segment"])


#: What arrives, in the order of days, and the rejected rows of days that are made all the same.
TAKEN = {
    "good": (csv_text(rows()), {}),
    "unknown category": (csv_text(rows(education=WORD)), {"education: unknown category": 1}),
    "wrong type": (csv_text(rows(bill_amount_1=WORD)), {"bill_amount_1: not a number": 1}),
    "negative age": (csv_text(rows(age=NUMBER)), {"age: below the minimum 18": 1}),
    "duplicates": (csv_text([*rows(), new_clients(1)[0]]), {"client_id: duplicate of an earlier row": 1}),
    "contradiction": (
        csv_text([*rows(), new_clients(1, start=5)[0] | {"client_id": "new-0"}]),
        {"client_id: occurs more than once with different values": 2},
    ),
    "byte order mark": (b"\xef\xbb\xbf" + csv_text(rows()).encode(), {}),
    "columns": (in_another_order_with_more_columns(), {}),
    "header only": (csv_text(rows()).splitlines()[0] + "\n", {}),
    "nearly constant": (each_row("bill_amount_1", "0.30000000000000004", "0.3"), {}),
    "huge sentinels": (each_row("bill_amount_1", "1e308", "-1e308", "9.99e307"), {}),
    "single value": (csv_text(rows(credit_limit=SINGLE)), {}),
    "worthless": (each_row("age", WORD), {"age: not a number": ROWS}),
    "commas behind rows": (csv_text(rows()).replace("\n", ",,\n").replace(",,\n", "\n", 1), {}),
    "twice, with companions": (csv_text(rows(), FEATURE_NAMES), {}),
}
#: What arrives, and what the failed run must say about it.
REFUSED = {
    "missing column": (csv_text(rows(education=WORD), [n for n in rows()[0] if n != "age"]), "missing column age"),
    "empty beside good": (b"", "bad.csv: is empty"),
    "truncated Parquet": (truncated_parquet(), "Parquet file; it may have been cut short"),
    "not UTF-8": (csv_text(rows()).replace("university", f"{WORD}\xe9", 1).encode("latin-1"), "is not UTF-8"),
    "folder": (None, "x.csv: is a folder"),
    "dangling link": (None, "gone.csv: is a link; put the file itself here"),
    "link to outside": (None, "x.csv: is a link; put the file itself here"),
    "pipe": (None, "x.csv: is a pipe"),
    "name": (None, r"Kunden-M\xe4rz.csv: the name is not UTF-8; rename the file."),
    "semicolons": (csv_text(rows(education=WORD)).replace(",", ";"), "separated by semicolons, expected commas"),
    "UTF-16": (csv_text(rows(education=WORD)).encode("utf-16"), "is UTF-16, expected UTF-8"),
    "title": (f"{WORD}\n{csv_text(rows())}", "the names of the columns are in line 2"),
    "wide": (csv_text([{**row, **dict.fromkeys(WIDE, WORD)} for row in rows()]), "has more than 1,000 columns"),
}
#: What stands beside a good file of a day, by the day's kind, in place of a file of its own.
BESIDE = {
    "folder": lambda folder: (folder / "x.csv").mkdir(),
    "dangling link": lambda folder: (folder / "gone.csv").symlink_to(folder / "nowhere.csv"),
    "link to outside": lambda folder: (folder / "x.csv").symlink_to(folder.parent / DAYS["good"] / "bad.csv"),
    "pipe": lambda folder: os.mkfifo(folder / "x.csv"),
    "name": lambda folder: (folder / os.fsdecode(b"Kunden-M\xe4rz.csv")).write_text(csv_text(rows())),
    "empty beside good": lambda folder: (folder / "bad.csv").touch(),
}
#: Names of files, where another than bad.csv matters.
NAMES = {"truncated Parquet": "bad.parquet", "commas behind rows": "bad\t\x1b[31m.csv"}
COMPANIONS = ("bad.csv.md5", "desktop.ini", "next.csv.part")
DAYS = dict(zip([*TAKEN, *REFUSED], days_from(FIRST, len(TAKEN) + len(REFUSED)), strict=True))


def land_all(world: World) -> None:
    for kind, (content, _) in {**TAKEN, **REFUSED}.items():
        if kind in BESIDE:
            BESIDE[kind](world.land(DAYS[kind], "good.csv", csv_text(rows())).parent)
        else:
            world.land(DAYS[kind], NAMES.get(kind, "bad.csv"), content)
    for name in ("same.csv", *COMPANIONS):
        world.land(DAYS["twice, with companions"], name, TAKEN["twice, with companions"][0])


@pytest.fixture(scope="module")
def after(small_home, tmp_path_factory) -> World:
    """A home after one run over all the days."""
    world = small_home.copy_to(tmp_path_factory.mktemp("bad_input") / "home")
    land_all(world)
    done = world.run_job("score_batch", FIRST, max(DAYS.values()))
    assert done.returncode == 1, done.stderr
    (world.home / "run_job.log").write_text(done.stdout + done.stderr)
    return world


def test_the_run_names_each_bad_day_with_its_file_and_what_was_expected_and_no_other_day(after):
    told = after.failure(after.runs("score_batch")[0])
    assert f"{len(REFUSED)} of {len(DAYS)} days failed" in told
    lines = {line[:10]: line for line in told.splitlines() if line[:2] == "20"}
    assert set(lines) == {DAYS[kind] for kind in REFUSED}
    for kind, (_, message) in REFUSED.items():
        assert message in lines[DAYS[kind]], kind
        assert re.search(r"inference_data: (bad|x|gone|Kunden-M\\xe4rz)\.(csv|parquet)\b", lines[DAYS[kind]]), kind
    line_of_bad_byte = REFUSED["not UTF-8"][0].split(WORD.encode())[0].count(b"\n") + 1
    assert f"bad.csv, line {line_of_bad_byte}: " in lines[DAYS["not UTF-8"]]
    assert "expected, in any order: " in lines[DAYS["missing column"]]


@pytest.mark.parametrize("asset", ["inference_data", "batch_predictions", "drift_metrics"])
def test_the_other_days_are_made_to_the_end_and_the_bad_ones_are_not(after, asset):
    made = after.made_days(asset)
    assert set(made) & set(DAYS.values()) == {DAYS[kind] for kind in TAKEN}


@pytest.mark.parametrize("kind", TAKEN)
def test_accepted_and_rejected_rows_are_all_that_came_and_the_rejected_are_kept_with_reasons(after, kind):
    content, expected = TAKEN[kind]
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    came = len(list(csv.DictReader(io.StringIO(text))))
    day, refused = DAYS[kind], sum(expected.values())

    metadata = after.made_days("inference_data")[day].metadata
    assert metadata["rows"].value == came
    assert metadata["rejected"].value == refused
    assert metadata["dagster/row_count"].value == came - refused
    assert after.predictions(day).num_rows == came - refused

    quarantine = after.lake / "quarantine" / "inference_data" / day / "rejected.csv"
    assert quarantine.exists() == bool(expected)
    if expected:
        counted = {rec.data["reason"]: rec.data["rows"] for rec in metadata["rejected_by_rule"].value.records}
        assert counted == expected
        kept = arrow_csv.read_csv(quarantine).to_pylist()
        assert len(kept) == refused
        assert {row["reasons"] for row in kept} == set(expected)
        assert {row["source_file"] for row in kept} == {"bad.csv"}
        assert all(row["row"] for row in kept)


def test_a_rejected_row_is_kept_as_it_came_with_its_line(after):
    kept = arrow_csv.read_csv(
        after.lake / "quarantine" / "inference_data" / DAYS["unknown category"] / "rejected.csv"
    ).to_pylist()
    assert kept[0]["line"] == 2
    assert WORD in kept[0]["row"]


def test_spelling_order_and_more_columns_change_no_prediction(after):
    good = after.predictions(DAYS["good"])
    for kind in ("byte order mark", "columns"):
        other = after.predictions(DAYS[kind])
        assert other["client_id"].equals(good["client_id"])
        assert other["probability_of_default"].equals(good["probability_of_default"])
    named = after.made_days("inference_data")[DAYS["columns"]].metadata["extra_columns"].value
    assert set(named.split(", ")) == {"branch", "segment"}


def test_the_same_bytes_are_taken_once_and_what_was_not_read_is_named(after):
    metadata = after.made_days("inference_data")[DAYS["twice, with companions"]].metadata
    files = {record.data["file"]: record.data for record in metadata["files"].value.records}
    assert {name: (about["rows"], about["same_as"]) for name, about in files.items()} == {
        "bad.csv": (ROWS, ""),
        "same.csv": (0, "bad.csv"),
    }
    assert files["bad.csv"]["sha256"] == files["same.csv"]["sha256"]
    assert all(name in metadata["files_not_read"].value for name in ("same.csv", *COMPANIONS))


def test_a_prediction_is_traced_to_a_file_whose_name_cannot_be_printed(after):
    prediction = after.predictions(DAYS["commas behind rows"])["prediction_id"][0].as_py()
    done = after.command("trace", prediction)
    assert done.returncode == 0, done.stdout + done.stderr
    assert r"bad\t\x1b[31m.csv has sha256" in " ".join(done.stdout.split())


def test_a_file_to_score_on_the_spot_may_be_a_link_and_no_pipe(after, tmp_path):
    (tmp_path / "link.csv").symlink_to(after.landing / "inference" / "batch" / DAYS["good"] / "bad.csv")
    os.mkfifo(tmp_path / "pipe.csv")

    scored = after.command("score", str(tmp_path / "link.csv"), str(tmp_path / "out.parquet"))
    refused = after.command("score", str(tmp_path / "pipe.csv"), str(tmp_path / "none.parquet"))

    assert scored.returncode == 0, scored.stderr
    assert f"{ROWS} of {ROWS} rows scored" in scored.stdout
    assert refused.returncode != 0
    assert "pipe.csv: is a pipe; expected a CSV or Parquet file" in refused.stderr


def test_no_message_log_metadata_or_trace_repeats_a_value_of_a_row(after):
    told = after.told()
    assert any(name.endswith(".db") for name in told)
    assert {"telemetry/traces.jsonl", "run_job.log"} <= set(told)
    assert any("stderr" in name for name in told)
    for value in (WORD, NUMBER, SINGLE, "new-0", "new-17"):
        assert [name for name, text in told.items() if value in text] == []


def test_no_report_shows_the_value_of_a_single_client(after):
    reports = sorted((after.lake / "drift" / DAYS["single value"]).iterdir())
    assert [path.name for path in reports] == ["drift.json", "report.html"]
    for path in reports:
        assert SINGLE.partition(".")[0] not in path.read_text()
    assert SINGLE in (after.landing / "inference" / "batch" / DAYS["single value"] / "bad.csv").read_text()


def test_a_column_that_evidently_cannot_bin_is_noted_and_the_others_are_measured(after):
    for kind in ("nearly constant", "huge sentinels"):
        features = {one["feature_name"]: one for one in after.drift(DAYS[kind])["features"]}
        odd = features.pop("bill_amount_1")
        assert "cannot bin" in odd["note"]
        assert odd["violation"]
        assert all(one["drift_score"] is not None for one in features.values())


def test_a_day_of_which_every_row_is_refused_is_made_and_says_so_everywhere(after):
    day = DAYS["worthless"]
    shown = after.made_days("inference_data")[day].metadata
    assert (shown["accepted_share"].value, shown["acceptance"].value) == (0, "error")
    assert "nothing to compare" in after.made_days("drift_metrics")[day].metadata["note"].value
    entries = after.instance.all_logs(after.runs("score_batch")[0].run_id)
    (said,) = [entry for entry in entries if f"{day}: 0 of {ROWS} rows accepted" in entry.message]
    assert said.level == logging.ERROR
    alerts = {row["day"]: row["acceptance"] for row in after.query(LOW_ACCEPTANCE.read_text("utf-8"))}
    assert alerts == {day: "error", DAYS["header only"]: "error"}


def test_days_that_were_made_before_are_as_they_were(after, small_home):
    before = small_home.hashes("predictions", "drift", "inference_data")
    now = after.hashes("predictions", "drift", "inference_data")
    assert before.items() <= now.items()


def test_a_model_file_that_was_changed_neither_scores_nor_goes_live(small):
    day = max(small.made_days("batch_predictions"))
    before = small.hashes("predictions", "endpoints")
    file = small.live()["folder"] / "model.skops"
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    file.write_bytes(changed)

    assert small.run_job("score_batch", day).returncode == 1
    assert "HashMismatch" in small.failure(small.runs("score_batch")[0])
    assert small.hashes("predictions", "endpoints") == before

    (small.lake / "endpoints" / "credit-card-default-be.json").unlink()  # as before the first deployment
    assert small.run_job("deploy_model").returncode == 1
    assert "HashMismatch" in small.failure(small.runs("deploy_model")[0])
    assert not (small.lake / "endpoints" / "credit-card-default-be.json").exists()
