"""`credit-default erase`: every file with rows of a client is named, on every platform, and nothing is changed."""

from __future__ import annotations

import errno
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from credit_default.cli.main import main
from credit_default.core.contract import json_rows
from credit_default.core.contract.rejected import REJECTED_SCHEMA
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES
from credit_default.erasure.erasure import find_client
from credit_default.erasure.personal_data import PLACES, WITHOUT, as_markdown
from credit_default.errors import InputError
from credit_default.resources import resources_for
from credit_default.settings import read
from credit_default.telemetry.collected_inputs import Request, seal
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key
from credit_default.telemetry.online_rows import pseudonym
from credit_default.terminal.erasure import show_footprint
from credit_default_tests import CHECKOUT
from credit_default_tests.platforms import telemetry_of
from credit_default_tests.strategies import client, clients

DAY = "2026-01-01"
KEY = new_key()
#: The client to be found, and others whose ids look alike.
ROWS, _ = json_rows.check_rows([client(1, client_id="8011"), *clients(3, start=2), client(9, client_id="80110")])
ONE = ROWS.slice(0, 1)


def parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


def refused(*rows: str) -> bytes:
    content = io.BytesIO()
    columns = [["a.csv"] * len(rows), range(1, len(rows) + 1), [2] * len(rows), ["age: not a number"] * len(rows), rows]
    arrow_csv.write_csv(pa.table([list(column) for column in columns], schema=REJECTED_SCHEMA), content)
    return content.getvalue()


#: Files of the lake, and how many rows of the client each holds.
LAKE = {
    f"landing/inference/batch/{DAY}/decimal.csv": (b"client_id,age\n8011.0,40\n80110,41\n,42\n", 1),
    f"landing/inference/batch/{DAY}/spelled.csv": (b'Customer_ID,age\n" 8011 ",40\n8012,8011\n', 1),
    f"landing/inference/batch/{DAY}/integers.PARQUET": (parquet(pa.table({"ID": pa.array([8011, 8011, 1])})), 2),
    f"landing/inference/batch/{DAY}/malformed.csv": (b"client_id,age\n8012,1\n8011,1,2\n", 1),
    f"landing/inference/batch/{DAY}/.hidden.csv": (b"client_id,age\n8011,1\n", 1),
    f"landing/inference/batch/{DAY}/_x.parquet": (parquet(pa.table({"ID": [8011]})), 1),
    f"landing/inference/batch/{DAY}/_SUCCESS": (b"", 0),
    f"landing/outcomes/{DAY}/outcomes.csv": (b"client_id,default_payment_next_month\n8011,1\n", 1),
    f"inference_data/{DAY}/inference_data.parquet": (parquet(ROWS), 1),
    # From before ids were normalised.
    f"outcomes/{DAY}/outcomes.parquet": (parquet(pa.table({CLIENT_ID: ["8011.0", "8011", "80110"]})), 2),
    f"predictions/{DAY}/predictions.parquet": (parquet(pa.table({CLIENT_ID: ["1", "8011"]})), 1),
    f"superseded_predictions/{DAY}/0123.parquet": (parquet(pa.table({CLIENT_ID: ["8012", "80110"]})), 0),
    f"quarantine/inference_data/{DAY}/rejected.csv": (
        refused('{"client_id": " 8011", "age": "x"}', '{"text": "8011,1,2"}', '{"id": 80110}', '{"age": 8011}'),
        2,
    ),
    "models/0123/reference.parquet": (parquet(ROWS.select(FEATURE_NAMES)), 1),
    "models/0123/golden.parquet": (parquet(ONE.select(FEATURE_NAMES)), 1),
    "models/0123/manifest.json": (b"{}", 0),
    "data_assets/inference_data/v1/inference_data.parquet": (parquet(ONE), 1),
    f"drift/{DAY}/report.html": (b"<html>", 0),
}

#: A category that is no UTF-8, in the row of the client.
BROKEN = ROWS.set_column(
    ROWS.schema.get_field_index("education"), "education", pa.array([b"\xff"] * len(ROWS)).view(pa.string())
)
#: Files of the lake that are not searched, and why.
NOT_SEARCHED = {
    f"landing/inference/batch/{DAY}/clients.csv.part": (b"client_id\n8011\n", "is no CSV or Parquet file"),
    "landing/clients.csv": (b"client_id\n8011\n", "is in no folder of landing/ that is read"),
    f"landing/inference/{DAY}/clients.csv": (b"client_id\n8011\n", "is in no folder of landing/ that is read"),
    f"landing/outcomes/{DAY}/outcomes.xlsx": (b"PK", "is no CSV or Parquet file"),
    ".staging/0123": (b"cut short", "is no CSV or Parquet file"),
    f"predictions/{DAY}/.predictions.parquet.7.unfinished": (b"PAR1", "is no CSV or Parquet file"),
    "curated_data/0123/damaged.parquet": (
        parquet(BROKEN),
        "ended in UnicodeDecodeError at credit_default/erasure/client_",
    ),
    f"landing/outcomes/{DAY}/damaged.parquet": (b"PAR1", "damaged.parquet: "),
}


@pytest.fixture(params=["local", "azure"])
def world(request, tmp_path, monkeypatch):
    """Settings of a platform whose lake, jobs and telemetry hold the client."""
    environ = {"CREDIT_DEFAULT_HOME": str(tmp_path / "home"), "CREDIT_DEFAULT_COLLECTION_KEY": KEY}
    if request.param == "azure":
        request.getfixturevalue("azure")
        environ["CREDIT_DEFAULT_ENV"] = "development"
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = read(os.environ)
    ports = resources_for(settings)
    expected = {name: rows for name, (_, rows) in LAKE.items() if rows}
    for name, (content, _) in {**LAKE, **NOT_SEARCHED}.items():
        ports["storage"].write(name, content)
    job = f"jobs/score-01234567-89abcdef-1/output/{DAY}"
    for name, content in (("inference_data.parquet", parquet(ONE)), ("model/reference.parquet", b"not Parquet")):
        if request.param == "azure":
            ports["storage"].write(f"{job}/{name}", content)
        else:
            (settings.home / job / name).parent.mkdir(parents=True, exist_ok=True)
            (settings.home / job / name).write_bytes(content)
    expected[f"{job}/inference_data.parquet"] = 1
    keys = PrivateKeys.read(KEY, "KEY")
    online = ONE.set_column(0, CLIENT_ID, pa.array([pseudonym("8011", keys)]))
    ports["storage"].write(f"landing/inference/batch/{DAY}/online.parquet", parquet(online))
    expected[f"landing/inference/batch/{DAY}/online.parquet"] = 1
    asked = Request("0123456789abcdef" * 2, "credit-card-default", "3", datetime(2026, 1, 1, tzinfo=UTC))
    telemetry_of(request.param, settings.telemetry).emit(seal(ROWS, asked, PublicKey.read(keys.public(), "KEY")))
    expected["telemetry/: collected messages"] = 1
    return settings, ports, expected


def test_every_row_of_a_client_is_found_wherever_it_is_and_however_its_id_is_written(world):
    settings, ports, expected = world
    before = {file.key: file for file in ports["storage"].files("")} if settings.environment == "local" else {}
    for written in ("8011", "8011.0", " +8011 ") if settings.environment == "local" else ("8011",):
        found = find_client(settings, written)
        assert {hit.file: hit.rows for hit in found.hits} == expected
    assert found.rows == sum(expected.values())
    reasons = {"drift/": "figures", **{name: reason for name, (_, reason) in NOT_SEARCHED.items()}}
    reasons[next(name for name in found.not_searched if name.startswith("jobs/"))] = "is no sound Parquet file"
    assert found.not_searched.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert found.not_searched[name].startswith(reason)
        assert not found.not_searched[name].endswith(".")
    if before:
        assert {file.key: file for file in ports["storage"].files("")} == before
    assert find_client(settings, "nobody").hits == []


@pytest.mark.parametrize("world", ["local"], indirect=True)
def test_messages_that_cannot_be_opened_are_said_not_to_be_searched(world, monkeypatch, capsys):
    settings, _, expected = world
    monkeypatch.setenv("CREDIT_DEFAULT_COLLECTION_KEY", new_key())
    found = find_client(settings, "8011")
    sealed = {"telemetry/: collected messages", f"landing/inference/batch/{DAY}/online.parquet"}
    assert {hit.file for hit in found.hits} == expected.keys() - sealed
    assert found.not_searched["telemetry/"].startswith("1 of 1 collected message cannot be opened")
    show_footprint(found, "8011")
    shown = capsys.readouterr().out
    assert all(f"  {key}: " in shown for key in found.not_searched)
    assert ".." not in shown


@pytest.mark.parametrize("world", ["local"], indirect=True)
def test_folders_that_cannot_be_listed_and_long_rows_are_no_reason_to_find_nobody(world, monkeypatch):
    settings, ports, expected = world
    long = refused('{"age": "%s"}' % ("x" * 5_000_000), '{"client_id": "8011"}')
    ports["storage"].write("quarantine/outcomes/2026-01-02/rejected.csv", long)
    walk = os.walk

    def closed(folder, onerror):
        if Path(folder).name == "curated":  # root may list anything, so it is only said to be refused
            onerror(PermissionError(errno.EACCES, "Permission denied", str(Path(folder, "closed"))))
        return walk(folder, onerror=onerror)

    monkeypatch.setattr(os, "walk", closed)
    found = find_client(settings, "8011")
    assert {hit.file: hit.rows for hit in found.hits} == {**expected, "quarantine/outcomes/2026-01-02/rejected.csv": 1}
    assert found.not_searched["landing/curated/"].endswith("the right to read the folder")


@pytest.mark.parametrize("text", ["", "  ", "NaN", "\ufffd"])
def test_what_is_no_id_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="is no client id"):
        find_client(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}), text)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, ["erase", *arguments])


def test_without_dry_run_nothing_is_done_and_the_message_says_what_to_do(command, tmp_path):
    done = command("8011")
    assert done.exit_code == 2
    assert "Run it with --dry-run" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_holds_nobody_and_is_not_made(command, tmp_path):
    done = command("8011", "--dry-run")
    assert (done.exit_code, done.output) == (0, "No file that was searched holds a row of client 8011.\n")
    assert list(tmp_path.iterdir()) == []


def test_names_from_outside_cannot_write_to_the_terminal(command, tmp_path):
    day = tmp_path / "home/lake/landing/inference/batch" / DAY
    day.mkdir(parents=True)
    (day / "[bold]a\x1b[31m.csv").write_bytes(b"client_id\n8011\n")
    Path(os.fsdecode(bytes(day) + b"/b\xe4.csv")).write_bytes(b"client_id\n8011\n")
    done = command("8011", "--dry-run")
    assert r"[bold]a\x1b[31m.csv" in done.output
    assert r"b\xe4.csv" in done.output
    assert "\x1b" not in done.output
    told = json.loads(command("8011", "--dry-run", "--json").output)
    assert {Path(file["file"]).name for file in told["files"]} == {r"[bold]a\x1b[31m.csv", r"b\xe4.csv"}


def test_security_md_has_the_list():
    assert as_markdown() in (CHECKOUT / "SECURITY.md").read_text("utf-8")


def test_no_place_is_listed_twice_and_none_on_both_lists():
    names = [(place.root, place.key) for place in PLACES]
    assert len(set(names)) == len(names)
    for root, without in WITHOUT.items():
        assert not {place.key.split("/")[0] for place in PLACES if place.root == root} & without.keys()
