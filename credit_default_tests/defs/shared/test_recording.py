"""How what a step stored becomes an event: its place in the platform's data catalogue."""

from __future__ import annotations

import re

import pytest

from credit_default.defs.shared.recording import catalogued
from credit_default.ports import StepResult
from credit_default.resources.local.storage import LocalStorage

CONTENT = "0123456789abcdef0123456789abcdef"


def stored(partition: str | None, data_version: str = CONTENT) -> StepResult:
    files = {"table": "jobs/job/output/curated_data.parquet"}
    return StepResult(partition=partition, data_version=data_version, result={}, files=files, checks=[], job_name="job")


class Catalogue(LocalStorage):
    """Storage of a platform with a data catalogue, which takes every version."""

    def catalogue(self, name, key, *, version):
        return version


@pytest.mark.parametrize(
    ("partition", "expected"),
    [(None, "curated_data:0123456789abcdef"), ("2026-01-31", "curated_data:2026-01-31-0123456789abcdef")],
)
def test_a_version_is_made_of_the_day_and_the_content(tmp_path, partition, expected):
    shown = catalogued(Catalogue(root=str(tmp_path)), "curated_data", stored(partition))
    assert shown == {"data_asset": expected}
    # What Azure ML takes as the version of a data asset.
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,29}", shown["data_asset"].partition(":")[2])


def test_another_content_is_another_version(tmp_path):
    storage = Catalogue(root=str(tmp_path))
    assert catalogued(storage, "a", stored(None)) != catalogued(storage, "a", stored(None, "f" * 32))


def test_nothing_is_shown_where_there_is_no_catalogue(tmp_path):
    assert catalogued(LocalStorage(root=str(tmp_path)), "curated_data", stored(None)) == {}
