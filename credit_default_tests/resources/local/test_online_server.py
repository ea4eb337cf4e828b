"""The local server: a process of its own that answers everybody, collects each request once and gives nothing away."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from credit_default.telemetry.collected_inputs import open_message
from credit_default.telemetry.encryption import PrivateKeys, new_key
from credit_default_tests import trained
from credit_default_tests.served import script_of, served
from credit_default_tests.strategies import client, clients
from credit_default_tests.telemetry.test_application_insights import KEY, Endpoint

pytestmark = pytest.mark.slow

KEYS = PrivateKeys.read(new_key(), "KEY")
#: Values that stand nowhere else, and must not be found anywhere.
SENTINEL = client(0, client_id="Sentinel Client", age=97, sex="female", bill_amount_1=918273.125, credit_limit=736455.5)
VALUES = ("Sentinel", "918273", "736455", "female")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "3"
    return folder, trained.save(folder)["model_sha256"]


@pytest.fixture
def start(model, tmp_path):
    folder, sha256 = model

    def run(**more: str):
        command, environment = script_of(folder, sha256, KEYS.public(), **more)
        # As a shell starts what it sends to the background: with this signal ignored.
        return served(["sh", "-c", 'trap "" INT; exec "$0" "$@"', *command], environment, tmp_path)

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "telemetry"


def requests_in(folder) -> list[str]:
    """The id of each request that the folder's file holds, opened."""
    lines = (folder / "traces.jsonl").read_text().splitlines()
    return [open_message(json.loads(line)["message"], KEYS).request.request_id for line in lines]


def test_two_hundred_requests_at_once_are_all_answered_and_each_collected_once(start, folder):
    with start(CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder)) as server:
        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda number: server.post(clients(3, start=number)), range(200)))
        assert [status for status, _ in answers] == [200] * 200
        wanted = [[row["client_id"] for row in clients(3, start=number)] for number in range(200)]
        assert [[row["client_id"] for row in told["predictions"]] for _, told in answers] == wanted
        # Not after it has ended: what was answered is there.
        assert sorted(requests_in(folder)) == sorted(told["request_id"] for _, told in answers)


def test_nothing_that_was_answered_is_lost_when_the_process_is_killed(start, folder):
    with start(CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder)) as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: server.post(clients(2, start=number)), range(40)))
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    assert sorted(requests_in(folder)) == sorted(told["request_id"] for _, told in answers)


def test_no_value_of_a_client_is_in_any_file_line_or_envelope(start, folder, tmp_path):
    endpoint = Endpoint()
    wrong = [{**SENTINEL, "age": "Sentinel"}, {**SENTINEL, "sex": "Sentinel", "bill_amount_2": "918273"}]
    with start(
        CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder), APPLICATIONINSIGHTS_CONNECTION_STRING=endpoint.connection_string
    ) as server:
        assert server.post([SENTINEL])[0] == 200
        statuses = [server.post(body) for body in (wrong, [SENTINEL] * 1001, {"clients": [SENTINEL]}, b"Sentinel")]
        assert [status for status, _ in statuses] == [422, 413, 400, 400]
        assert not any(value in json.dumps(statuses) for value in VALUES)
        assert server.end() == 0
    endpoint.server.shutdown()
    endpoint.server.server_close()
    assert len(endpoint.envelopes) == len(requests_in(folder)) == 1
    told = {path: path.read_bytes().decode() for path in tmp_path.rglob("*") if path.is_file()}
    told["envelopes"] = json.dumps(endpoint.envelopes)
    assert len(told) >= 3
    assert [(path, value) for path, text in told.items() for value in VALUES if value in text] == []


def test_an_endpoint_of_telemetry_that_is_down_changes_no_answer_and_loses_nothing(start, tmp_path, folder):
    down = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9"
    with start(CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder), APPLICATIONINSIGHTS_CONNECTION_STRING=down) as server:
        started = time.monotonic()
        for number in range(20):
            assert server.post(clients(1, start=number))[0] == 200
        assert time.monotonic() - started < 10
        assert server.end() == 0
        assert KEY not in server.printed.read_text()
    kept = "".join(path.read_text() for path in (folder / "unsent").iterdir())
    assert kept.count('"MessageData"') == 20 == len(requests_in(folder))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_with_the_requests_under_way_answered_and_sent(start, how):
    endpoint = Endpoint()
    with start(APPLICATIONINSIGHTS_CONNECTION_STRING=endpoint.connection_string) as server:
        with ThreadPoolExecutor(16) as pool:
            under_way = [pool.submit(server.post, clients(1000)) for _ in range(16)]
            time.sleep(0.3)
            assert server.end(how) == 0
            answers = [asked.result() for asked in under_way if asked.exception() is None]
        assert answers, "some were under way"
        assert server.printed.read_text() == ""
    endpoint.server.shutdown()
    endpoint.server.server_close()
    collected = {open_message(message, KEYS).request.request_id for message in endpoint.messages}
    assert {told["request_id"] for _, told in answers} <= collected


def test_it_lives_on_this_machine_only_and_answers_in_json_whatever_is_asked(start, folder):
    with start(CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder)) as server:
        with urllib.request.urlopen(f"{server.address}/") as response:
            assert response.read() == b"Healthy"
        assert server.address.startswith("http://127.0.0.1:")
        # A page of another site can post text without asking first, and JSON it cannot.
        status, told = server.post(clients(1), content_type="text/plain")
        assert (status, told["message"]) == (415, "expected content type application/json")
        assert server.post(b"\xff")[0] == 400
        assert server.post(b"[" + b" " * 9_000_000 + b"]")[0] == 413
        assert not folder.exists()


def test_a_port_that_is_taken_and_a_setting_that_is_missing_are_told(model, tmp_path):
    folder, sha256 = model
    command, environment = script_of(folder, sha256, KEYS.public())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CREDIT_DEFAULT_TELEMETRY_FOLDER is set; expected at least one of them" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment["CREDIT_DEFAULT_TELEMETRY_FOLDER"] = str(tmp_path)
        port = str(taken.getsockname()[1])
        done = subprocess.run([*command, "--port", port], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert port in done.stderr
