"""What is removed from an exchange before it is kept."""

from __future__ import annotations

import json

import pytest
import requests
from requests.adapters import HTTPAdapter

from credit_default_tests.azure_check.recording import Recorder, exchanges, recorded, recorder_of, variables
from credit_default_tests.azure_check.scrub import Scrubber

KEY = b"k" * 32
GUID = "5f3a1c9e-7b42-4d0a-9c36-2e8f4b6d1a70"
TOKEN = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL21hbmFnZW1lbnQuYXp1cmUuY29tIn0.c2lnbmF0dXJl"


@pytest.fixture
def scrubber() -> Scrubber:
    return Scrubber(KEY, {"ws-of-ours": "workspace-name", "stours": "storage-account"}, ["a secret of ours", "short"])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"Bearer {TOKEN} was refused", "Bearer <token> was refused"),
        ("it is a secret of ours.", "it is <secret>."),
        ("short", "short"),
        ("WS-OF-OURS-lake, not ws-of-ourselves", "workspace-name-lake, not ws-of-ourselves"),
        ("https://x/y?wsid=%2Fworkspaces%2Fws-of-ours", "https://x/y?wsid=%2Fworkspaces%2Fworkspace-name"),
        ("https://stours.blob.core.windows.net/c/b?sv=1&sig=abc%3D&se=2", "https://storage-account.blob.core.windows.net/c/b?sv=1&se=2"),
        ("https://management.azure.com/o?api-version=1&t=2&c=MII&s=x&h=y", "https://management.azure.com/o?api-version=1"),
        ("SharedAccessSignature=sv=1&sig=abc", "SharedAccessSignature=sv=1&"),
        ("ann.o'neil+x@example.com at 10.1.2.3", "ann.o'<someone> at <address>"),
        ("contoso.onmicrosoft.com, version 1.60.0", "<directory>, version 1.60.0"),
        ("IP 2001:db8::8a2e:370:7334 at 10:11:12", "IP <address> at 10:11:12"),
        ("ann%40example.com", "<someone>"),
        ("https://ann:pw@proxy:3128/x", "https://proxy:3128/x"),
        ("https://github.com/o/r?access_token=abc&subscription-key=abc#id_token=abc", "https://github.com/o/r"),
        # A signed address within another, within JSON that is a text, and written twice as in a URL.
        ("https://x/y?u=https%3A%2F%2Fz%2Fc%3Fsv%3D1%26sig%3Dabc%253D", "https://x/y?u=https%3A%2F%2Fz%2Fc%3Fsv%3D1%26"),
        (r'"https://x/c?sv=1\u0026sig=abc\u0026se=2"', '"https://x/c?sv=1&se=2"'),
        (r"at /c?sv=1\u0026sig=abc", r"at /c?sv=1\u0026"),
        ("c%3Fsig%253Dabc%2526se%253D2", "c%3F%2526se%253D2"),
        (r"\u0027ws-of-ours\u0027 and \nws-of-ours", r"\u0027workspace-name\u0027 and \nworkspace-name"),
        ("AccountName=x;AccountKey=YWJj+/==;EndpointSuffix=y", "AccountName=x;AccountKey=<secret>;EndpointSuffix=y"),
        (r'{\"accountKey\": \"abc\", \"code\": \"None\"}', r'{\"accountKey\": \"<secret>\", \"code\": \"None\"}'),
        ("Authorization: Bearer 0.opaque-1234 is none", "Authorization: Bearer <token> is none"),
        ('claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="', 'claims="<token>"'),
        ("a%20secret%20of%20ours", "<secret>"),
        ("x" * 200, "<opaque>"),
    ],
)  # fmt: skip
def test_secrets_and_identities_are_replaced(scrubber, text, kept):
    assert scrubber.text(text) == kept


def test_an_id_is_replaced_by_the_same_one_wherever_it_is(scrubber):
    (instead,) = {scrubber.text(GUID), scrubber.text(GUID.upper())}
    assert scrubber.text(f"https://x/y?wsid=%2Fsubscriptions%2F{GUID}").endswith(f"%2Fsubscriptions%2F{instead}")
    assert instead.startswith("00000000-0000-0000-0000-")
    assert Scrubber(b"another", {}, []).text(GUID) != instead


def test_a_query_keeps_where_a_page_begins_and_nothing_that_opens_anything(scrubber):
    kept = scrubber.query("$continuationtoken=2&sig=abc&x-ms-sig=abc&refresh_token=abc&subscription-key=abc&key=abc")
    assert kept == {"$continuationtoken": "2"}


def test_members_that_hold_secrets_are_removed_by_their_names(scrubber):
    told = {
        "properties": {"primaryKey": "abc", "accessToken": "abc", "clientSecret": "abc", "hasSasToken": True},
        "credentials": {"credentialsType": "AccountKey", "secrets": {"key": "abc"}, "connection_string": "abc"},
        "proxy": {"Authorization": "abc", "key1": "abc", "tokens": ["abc"], "pwd": "abc", "sas": "abc"},
        "environmentVariables": {"DAGSTER_PIPES_CONTEXT": "eJw", "APPLICATIONINSIGHTS_CONNECTION_STRING": "abc"},
        "systemData": {"createdBy": "Ann O'Neil", "createdAt": "2026-01-31T00:00:00Z"},
        "tags": {"ai.cloud.roleInstance": "anns-laptop", "ai.device.id": "anns-laptop"},
        "metrics": [{"key": "roc_auc", "value": 0.75}],
        "params": [{"key": "mlflow.user", "value": "ann"}, {"key": "depth", "value": "3"}],
    }
    kept = scrubber.body(told)
    assert "abc" not in json.dumps(kept)
    assert kept["environmentVariables"]["DAGSTER_PIPES_CONTEXT"] == "<secret>"
    assert kept["credentials"]["credentialsType"] == "AccountKey"
    assert kept["params"] == [{"key": "mlflow.user", "value": "<someone>"}, {"key": "depth", "value": "3"}]
    assert kept["tags"] == {"ai.cloud.roleInstance": "<someone>", "ai.device.id": "<someone>"}
    assert kept["systemData"] == {"createdBy": "<someone>", "createdAt": "2026-01-31T00:00:00Z"}
    assert (kept["metrics"], kept["properties"]["hasSasToken"]) == (told["metrics"], True)


@pytest.fixture
def answered(monkeypatch, tmp_path, scrubber):
    """Send a request that is answered with a body, and return what is kept of both."""

    def ask(method: str, url: str, answer: bytes, *, kind: str = "application/json", **request):
        def send(self, prepared, **options):
            response = requests.Response()
            response.status_code, response._content, response.request = 200, answer, prepared
            response.headers.update({"Content-Type": kind, "Set-Cookie": "of-ours", "x-ms-request-id": GUID})
            return response

        monkeypatch.setattr(HTTPAdapter, "send", send)
        file = tmp_path / "exchange.jsonl"
        with recorded(Recorder(file, scrubber)):
            requests.request(method, url, timeout=1, **request)
        assert HTTPAdapter.send is send
        return exchanges(file)[-1]

    return ask


def test_an_exchange_is_kept_with_harmless_headers_and_whom_its_token_was_for(answered):
    headers = {"Authorization": f"Bearer {TOKEN}", "x-azureml-token": TOKEN, "If-None-Match": "*"}
    kept = answered("PUT", "https://management.azure.com/x?api-version=1", b'{"a": 1}', headers=headers, json={"b": 2})
    assert (kept["method"], kept["status"], kept["body"], kept["answer"]) == ("PUT", 200, {"b": 2}, {"a": 1})
    assert (kept["query"], kept["token_for"]) == ({"api-version": "1"}, "https://management.azure.com")
    assert kept["headers"].keys() == {"accept", "if-none-match", "content-type", "content-length"}
    assert kept["answer_headers"].keys() == {"content-type"}


def test_no_blob_no_row_and_no_secret_of_an_answer_is_kept(answered):
    blob = answered("PUT", "https://stours.blob.core.windows.net/c/b?sig=x", b'{"id": "ann"}', data=b'{"id": "ann"}')
    assert (blob["body"], blob["answer"], blob["query"]) == ("<13 bytes, not kept>", "<? bytes, not kept>", {})
    rows = {"data": [{"client_id": "ann", "age": 31, "education": None}, {"client_id": "bob"}]}
    scored = answered("POST", "https://e.westeurope.inference.ml.azure.com/score", b'{"predictions": [0.5]}', json=rows)
    assert scored["body"] == {"data": [{"client_id": "str", "age": "int", "education": "null"}, "... 2 in all"]}
    assert scored["answer"] == {"predictions": ["float"]}
    keys = answered(
        "POST", "https://management.azure.com/ws/listSecrets", b'{"secretsType": "AccountKey", "key": "k1"}'
    )
    assert keys["answer"] == {"secretsType": "<secret>", "key": "<secret>"}
    signing_in = {"grant_type": "client_credentials", "client_id": "ann", "client_secret": "s1", "scope": "y"}
    token = answered(
        "POST", "https://login.microsoftonline.com/t/oauth2/v2.0/token", b'{"access_token": "a1"}', data=signing_in
    )
    assert token["body"] == {"grant_type": "client_credentials", "scope": "y"}
    assert token["answer"] == {"access_token": "<secret>"}


def test_another_process_records_by_its_environment(tmp_path):
    environ = variables(tmp_path / "x", KEY, {"ws-of-ours": "workspace-name"}, {"PYTHONPATH": "/there"})
    assert environ["PYTHONPATH"].endswith(":/there")
    recorder = recorder_of({**environ, "AZURE_CLIENT_SECRET": "a secret of ours"})
    assert recorder.scrubber.text(f"ws-of-ours, a secret of ours, {GUID}") == (
        f"workspace-name, <secret>, {Scrubber(KEY, {}, []).text(GUID)}"
    )
