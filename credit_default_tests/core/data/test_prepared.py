import json

import numpy as np
import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.schema import CLIENT_ID, TARGET
from credit_default.core.statistics.bins import count
from credit_default.errors import QualityError


@pytest.fixture(scope="module")
def curated():
    return development_clients()


@pytest.fixture(scope="module")
def prepared(curated):
    return prepare(curated, curated_data_version="v1")


def ids(part):
    return set(part[CLIENT_ID].to_pylist())


def test_every_client_is_in_exactly_one_part(curated, prepared):
    assert sum(part.num_rows for part in prepared.parts.values()) == curated.num_rows
    assert set.union(*map(ids, prepared.parts.values())) == ids(curated)
    shares = [part.num_rows / curated.num_rows for part in prepared.parts.values()]
    assert np.allclose(shares, [0.6, 0.2, 0.2], atol=0.02)


def test_new_rows_move_no_old_one(curated, prepared):
    grown = prepare(pa.concat_tables([arrivals().slice(0, 2_000), curated]), curated_data_version="v2")
    for name, part in prepared.parts.items():
        assert ids(part) <= ids(grown.parts[name])
    assert grown.version != prepared.version


def test_the_same_rows_are_the_same_version_and_one_changed_cell_is_another(curated, prepared):
    assert len(prepared.version) == 32
    assert prepare(curated.combine_chunks(), curated_data_version="another name").version == prepared.version
    ages = curated["age"].to_pylist()
    ages[-1] += 1
    changed = curated.set_column(curated.column_names.index("age"), "age", pa.array(ages))
    assert prepare(changed, curated_data_version="v1").version != prepared.version


def test_what_is_written_is_what_was_made(prepared, tmp_path):
    prepared.write(tmp_path)
    for name, part in prepared.parts.items():
        assert tables.read(tmp_path / f"{name}.parquet").equals(part)
        assert tables.data_version_of(tmp_path / f"{name}.parquet") == prepared.version
    bins = json.loads((tmp_path / "bins.json").read_text())
    counted = count(bins, prepared.parts["development"])
    assert {name: counts.tolist() for name, counts in counted.items()} == {
        name: item["counts"] for name, item in bins["columns"].items()
    }
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["curated_data_version"] == "v1"
    for name, part in prepared.parts.items():
        assert manifest["parts"][name]["rows"] == part.num_rows
        assert manifest["parts"][name]["target_rate"] == pytest.approx(np.mean(part[TARGET].to_numpy()))
    again = tmp_path / "again"
    prepared.write(again)
    assert (again / "manifest.json").read_bytes() == (tmp_path / "manifest.json").read_bytes()


def test_too_few_clients_for_three_parts_are_refused(curated):
    with pytest.raises(QualityError, match="leave nothing for"):
        prepare(curated.slice(0, 2), curated_data_version="v")
