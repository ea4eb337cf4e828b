import re

import pytest

from credit_default.core.prepared import prepare
from credit_default.core.sample import development_clients
from credit_default.core.schema import FEATURE_NAMES
from credit_default.steps.data_quality_report import main
from credit_default_tests.steps.days import told


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
