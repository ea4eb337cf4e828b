from __future__ import annotations

import pytest

from credit_default.core.files.companions import COMPANION, UNFINISHED, companion_reason, is_companion


@pytest.mark.parametrize(
    "name",
    [
        "desktop.ini",
        "Thumbs.db",
        "clients.csv.done",
        "clients.MD5",
        "a.sha256",
        "a.crc",
        "a.ok",
        "~$a.csv",
        "SHA256SUMS",
        "a.csv:Zone.Identifier",
        "a.csv.sha512sum",
        "a.md5sum",
        "a.csv.bak",
    ],
)
def test_what_file_managers_and_senders_leave_beside_the_data_is_no_data(name):
    assert companion_reason(name) == COMPANION


@pytest.mark.parametrize("name", ["clients.csv.part", "clients.csv.filepart", "clients.TMP", "x.parquet.crdownload"])
def test_an_upload_under_way_is_not_read_yet(name):
    assert companion_reason(name) == UNFINISHED


@pytest.mark.parametrize("name", ["clients.csv", "done.csv", "clients", "clients.xlsx", "clients.txt", "md5.parquet"])
def test_what_may_be_data_is_not_passed_over(name):
    assert not is_companion(name)
