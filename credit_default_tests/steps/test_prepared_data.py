import json

import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.data.sample import development_clients
from credit_default.steps.prepared_data import main
from credit_default_tests.steps.days import told


def prepare(table, folder, capsys):
    tables.write(table, folder / "curated.parquet", data_version="curated-version")
    main(["--curated", str(folder / "curated.parquet"), "--output", str(folder / "out")])
    return told(capsys.readouterr().out)[0]


def test_a_version_is_stored_with_its_parts_bins_manifest_and_passed_checks(tmp_path, capsys):
    stored = prepare(development_clients(), tmp_path, capsys)
    folder = tmp_path / "out" / stored["files"]["prepared"]
    assert {path.name for path in folder.iterdir()} == {
        *("development.parquet", "calibration.parquet", "test.parquet"),
        *("bins.json", "manifest.json"),
    }
    assert json.loads((folder / "manifest.json").read_text()) == stored["result"]
    assert stored["result"]["data_version"] == stored["data_version"]
    assert stored["result"]["curated_data_version"] == "curated-version"
    assert all(check["passed"] for check in stored["checks"])


def test_a_leak_is_told_as_a_failed_check_that_blocks(tmp_path, capsys):
    clients = development_clients().slice(0, 3_000)
    position = clients.column_names.index("age")
    leaking = [50.0 + 30 * bad for bad in clients["default_payment_next_month"].to_pylist()]
    stored = prepare(clients.set_column(position, "age", pa.array(leaking)), tmp_path, capsys)
    leakage = next(check for check in stored["checks"] if check["name"] == "leakage")
    assert (leakage["passed"], leakage["severity"]) == (False, "ERROR")


def test_an_absent_table_ends_the_step_with_what_was_expected(tmp_path):
    with pytest.raises(SystemExit, match=r"Error: .*curated.parquet is not there"):
        main(["--curated", str(tmp_path / "curated.parquet"), "--output", str(tmp_path / "out")])
