"""The order in which a step stores and reports what it made."""

from types import SimpleNamespace

import pytest

from credit_default.errors import StorageError
from credit_default.pipes.reporting import PipesReporter

RESULT = {"data_version": "v", "result": {}, "files": {"table": "table.parquet"}}


def test_what_a_step_made_is_stored_before_it_is_reported():
    order = []
    context = SimpleNamespace(report_custom_message=lambda body: order.append(body["kind"]))
    PipesReporter(context, order.extend).stored(**RESULT)
    assert order == ["table.parquet", "stored"]


def test_what_could_not_be_stored_is_not_reported():
    def refuse(files):
        raise StorageError("no")

    order = []
    context = SimpleNamespace(report_custom_message=order.append)
    with pytest.raises(StorageError):
        PipesReporter(context, refuse).stored(**RESULT)
    assert order == []
