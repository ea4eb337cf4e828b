"""Run history: by what a log is read, and who is shown a token."""

from types import SimpleNamespace

import pytest
from azure.core.exceptions import HttpResponseError

from credit_default.resources.azure.jobs.history import RunHistory

STORAGE = "https://account.blob.core.windows.net/logs/std_log.txt"


@pytest.fixture
def asked(monkeypatch):
    """Every request that was made: address and scope of its token. Signatures are refused."""
    requests = []

    def get(self, url, scope="", **options):
        requests.append((url, scope))
        refused = "sig=" in url and ("blob" in url or "refused" in url)
        return SimpleNamespace(status_code=403 if refused else 206, content=b"read")

    monkeypatch.setattr(RunHistory, "_get", get)
    return requests


def test_a_log_whose_signature_is_refused_is_read_with_a_token_and_the_next_one_at_once(asked):
    history = RunHistory(None)
    assert [history.read(f"{STORAGE}?sig=a", 0), history.read(f"{STORAGE}?sig=b", 4)] == [b"read", b"read"]
    token = (STORAGE, "https://storage.azure.com/.default")
    assert asked == [(f"{STORAGE}?sig=a", ""), token, token]


@pytest.mark.parametrize("host", ["logs.example", "account.blob.core.windows.net.refused.example"])
def test_no_other_host_than_storage_is_shown_a_token(asked, host):
    history = RunHistory(None)
    history.read(f"{STORAGE}?sig=a", 0)
    del asked[:]
    if "refused" in host:
        with pytest.raises(HttpResponseError, match="403"):
            history.read(f"https://{host}/log?sig=c", 0)
    else:
        assert history.read(f"https://{host}/log?sig=c", 0) == b"read"
    assert asked == [(f"https://{host}/log?sig=c", "")]
