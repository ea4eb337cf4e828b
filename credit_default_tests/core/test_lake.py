from __future__ import annotations

import ast
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import credit_default
from credit_default.core import lake
from credit_default.errors import StorageError

DAY = date(2026, 1, 31)
PACKAGE = Path(credit_default.__file__).parent


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (lake.LANDED_CURATED, "landing/curated"),
        (lake.LANDED_INFERENCE, "landing/inference/batch"),
        (lake.LANDED_OUTCOMES, "landing/outcomes"),
        (lake.LANDED_SAMPLE, "landing/.sample.json"),
        (lake.inference_data(DAY), "inference_data/2026-01-31/inference_data.parquet"),
        (lake.predictions("2026-01-31"), "predictions/2026-01-31/predictions.parquet"),
        (lake.table(lake.OUTCOMES, DAY), "outcomes/2026-01-31/outcomes.parquet"),
        (lake.superseded(lake.PREDICTIONS), "superseded_predictions"),
        (lake.superseded(lake.PREDICTIONS, DAY), "superseded_predictions/2026-01-31"),
        (lake.rejected(lake.OUTCOMES, DAY), "quarantine/outcomes/2026-01-31/rejected.csv"),
        (lake.taken_in(lake.OUTCOMES, DAY), "taken_in/outcomes/2026-01-31.json"),
        (lake.refusal(lake.OUTCOMES, DAY), "refused/outcomes/2026-01-31.json"),
        (lake.curated_data(), "curated_data/curated_data.parquet"),
        (lake.PREPARED_POINTER, "prepared/current.json"),
        (lake.prepared("abc"), "prepared/abc"),
        (lake.quality_report("abc"), "data_quality/abc/report.html"),
        (lake.TRAINED_POINTER, "models/newest.json"),
        (lake.model("abc"), "models/abc"),
        (lake.verdict("2"), "verdicts/2.json"),
        (lake.LEDGER, "models/ledger.jsonl"),
        (lake.torn_ledger("abc"), "models/ledger.torn-abc"),
        (lake.drift(DAY), "drift/2026-01-31/drift.json"),
        (lake.drift_report(DAY), "drift/2026-01-31/report.html"),
        (lake.performance(DAY), "performance/2026-01-31/performance.json"),
        (lake.endpoint("batch"), "endpoints/batch"),
        (lake.endpoint_state("batch"), "endpoints/batch.json"),
        (lake.removals(datetime(2026, 1, 31, tzinfo=UTC)), "retention/2026-01.jsonl"),
        (lake.job_output("train-1"), "jobs/train-1/output"),
        (lake.job_messages("train-1"), "jobs/train-1/messages"),
        (lake.taken("credit-card-default", "2", "abc"), "taken/credit-card-default/2-abc"),
        (lake.data_asset("curated_data", "1", "a.parquet"), "data_assets/curated_data/1/a.parquet"),
        (lake.aliases("credit-card-default"), "registry/credit-card-default/aliases.json"),
        (lake.published("models/abc"), ".published/models/abc.json"),
    ],
)
def test_every_key_is_where_earlier_versions_have_put_it(key, expected):
    assert key == expected


@pytest.mark.parametrize("key", ["/etc/passwd", "models/../../x", "..", "a\0b"])
def test_no_key_leads_out_of_the_lake(key):
    with pytest.raises(StorageError, match="leads out of the lake"):
        lake.checked_key(key)


def test_no_other_module_spells_a_key():
    texts = {name: value for name, value in vars(lake).items() if name.isupper() and isinstance(value, str)}
    files = {value for name, value in texts.items() if name.endswith("_FILE")}
    folders = tuple(f"{value}/" for value in texts.values() if value not in files)
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != Path(lake.__file__)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in files or node.value.startswith((*folders, "superseded_"))
    ]
    assert found == []
