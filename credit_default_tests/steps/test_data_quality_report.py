import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import development_clients
from credit_default.core.schema import AMOUNTS, FEATURE_NAMES
from credit_default.steps.data_quality_report import main
from credit_default_tests.steps.days import told

#: Two numbers as they stand in one row alone: in the part that the page is clipped by, and in the other.
SINGLE = {"development": 12345677.25, "test": -98765431.5}


def with_number(table, name, row, value):
    numbers = table[name].to_numpy().copy()
    numbers[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(numbers))


@pytest.mark.slow
def test_numbers_of_single_clients_are_not_on_the_page_and_no_column_breaks_it(tmp_path, capsys):
    prepared = prepare(development_clients().slice(0, 4_000), curated_data_version="v")
    parts = dict(prepared.parts)
    for name, number in SINGLE.items():
        parts[name] = with_number(parts[name], "bill_amount_2", 7, number)
        # The least and the greatest of a column are single clients', too.
        parts[name] = with_number(parts[name], "payment_amount_1", slice(None), [0.30000000000000004])
        parts[name] = with_number(parts[name], "payment_amount_1", slice(None, None, 2), [0.3])
        parts[name] = with_number(parts[name], "payment_amount_2", slice(None, None, 3), [1e308])
        parts[name] = with_number(parts[name], "bill_amount_3", slice(None, None, 3), [-1e308])
    replace(prepared, parts=parts).write(tmp_path / "prepared")
    main(["--prepared", str(tmp_path / "prepared"), "--output", str(tmp_path / "out")])
    html = (tmp_path / "out" / told(capsys.readouterr().out)[0]["files"]["report"]).read_text()
    assert "no value of a single client is shown" in html
    # What the page is drawn from stands before the program that draws it.
    drawn = html.partition("var global = globalThis")[0]
    assert "payment_amount_1" in drawn
    on_page = {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", drawn)}
    extremes = {
        float(end(table[name].to_numpy()))
        for table in parts.values()
        for name in AMOUNTS
        for end in (np.min, np.max)
        if abs(end(table[name].to_numpy())) > 1_000
    }
    assert {*SINGLE.values()} < extremes
    assert on_page & extremes == set()


@pytest.mark.slow
def test_the_page_covers_every_feature_needs_no_network_and_names_no_client(tmp_path, capsys):
    prepared = prepare(development_clients().slice(0, 4_000), curated_data_version="v")
    prepared.write(tmp_path / "prepared")
    main(["--prepared", str(tmp_path / "prepared"), "--output", str(tmp_path / "out")])
    stored = told(capsys.readouterr().out)[0]
    assert stored["result"]["prepared_data_version"] == prepared.version
    assert stored["result"]["development_rows"] == prepared.parts["development"].num_rows
    assert stored["result"]["test_missing_share"] == 0.0
    html = (tmp_path / "out" / stored["files"]["report"]).read_text()
    assert all(name in html for name in FEATURE_NAMES)
    assert "client_id" not in html
    assert not re.findall(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html)
