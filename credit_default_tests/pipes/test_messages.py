"""One intent has one name, whoever tries it and how often; results arrive as they were reported."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import dagster as dg
import pytest

from credit_default.errors import StorageError
from credit_default.pipes import messages
from credit_default.pipes.messages import StepMessages, job_name, open_session
from credit_default.ports import DayRejected, StepResult

FIRST = "11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
RETRY = "22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
DAYS = ["2026-01-01", "2026-01-02"]


def name(run_id: str = FIRST, root: str | None = None, step: str = "inference_data", days=tuple(DAYS), **intent) -> str:
    parent = {"root_run_id": root, "parent_run_id": root} if root else {}
    run = dg.DagsterRun(job_name="score_batch", run_id=run_id, **parent)
    return job_name(SimpleNamespace(run=run), step, days, **intent)


def test_a_retry_of_a_run_arrives_at_the_name_of_the_first():
    assert name(RETRY, root=FIRST) == name(FIRST)
    assert name(RETRY) != name(FIRST)


def test_another_step_or_another_set_of_days_is_another_job():
    names = [name(), name(step="score"), name(days=DAYS[:1]), name(days=()), name(days=[*DAYS, "2026-01-03"])]
    assert len(set(names)) == len(names)


def test_changed_inputs_or_options_are_another_job_and_the_runs_own_id_is_not():
    names = [name(), name(versions=["v1"]), name(versions=["v2"]), name(inputs={"model": "models/a"})]
    names += [name(inputs={"model": "models/b"}), name(options={"trials": "8"}), name(options={"trials": "1"})]
    assert len(set(names)) == len(names)
    assert name(options={"run-id": FIRST}) == name(RETRY, root=FIRST, options={"run-id": RETRY})


def test_other_code_is_another_job(monkeypatch):
    names = []
    for version in ("old", "mended", "old"):
        monkeypatch.setattr(messages, "code_version", lambda version=version: version)
        names.append(name())
    assert names[0] == names[2] != names[1]


def test_a_name_can_be_read_and_used_as_a_folder_and_as_the_name_of_a_remote_job():
    assert re.fullmatch(r"inference-data-11111111-[0-9a-f]{8}", name())
    assert len(name(days=[f"2026-01-{day:02}" for day in range(1, 32)])) < 60


@pytest.fixture
def read(tmp_path):
    """Feed lines to the messages of a job inside a real run; returns what came of them, and the messages."""

    def feed(*bodies: dict):
        messages = StepMessages("a-job-1", {"path": str(tmp_path / "messages")}, lambda path: f"/output/{path}")
        arrived = []

        @dg.asset
        def made(context) -> None:
            with open_session(context, messages):
                arrived.extend(messages.feed(json.dumps({"__dagster_pipes_version": "0.1", **body})) for body in bodies)

        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([made], instance=instance, raise_on_error=True)
            logs = [entry.user_message for entry in instance.all_logs(result.run_id)]
        return arrived, messages, logs

    return feed


def custom(**payload):
    return {"method": "report_custom_message", "params": {"payload": payload}}


STORED = custom(
    kind="stored", partition=DAYS[0], data_version="v1", result={"rows": 3}, files={"table": "day/table"}, checks=[]
)
REFUSED = custom(kind="refused", partition=DAYS[1], error="columns age: missing", error_type="ContractError")
CLOSED = {"method": "closed", "params": None}


def test_results_say_where_their_files_lie_and_which_job_made_them(read):
    arrived, messages, _ = read(STORED, REFUSED, CLOSED)
    assert arrived == [
        StepResult(DAYS[0], "v1", {"rows": 3}, {"table": "/output/day/table"}, [], "a-job-1"),
        DayRejected(DAYS[1], "columns age: missing", "ContractError"),
        None,
    ]
    assert messages.closed
    assert messages.error is None


@pytest.mark.parametrize("path", ["../../elsewhere", "/etc/passwd", "day/../../table"])
def test_a_file_outside_the_output_of_its_job_is_not_published(read, path):
    with pytest.raises(StorageError, match="leads out of the lake"):
        read(custom(kind="stored", partition=None, data_version="v", result={}, files={"table": path}, checks=[]))


def test_logs_of_a_step_go_to_the_page_of_the_run(read):
    arrived, _, logs = read({"method": "log", "params": {"message": "counted 3 rows", "level": "INFO"}}, CLOSED)
    assert arrived == [None, None]
    assert any("counted 3 rows" in line for line in logs)


def test_the_error_of_a_step_is_told_without_the_path_of_its_class(read):
    exception = {"message": "credit_default.errors.InputError: no files", "stack": [], "name": "InputError",
                 "cause": None, "context": None}  # fmt: skip
    _, messages, _ = read({"method": "closed", "params": {"exception": exception}})
    assert messages.closed
    assert messages.error == "InputError: no files"


def test_a_step_that_said_nothing_is_not_closed(read):
    _, messages, _ = read()
    assert not messages.closed
    assert "a-job-1" in messages.no_messages_debug_text()
