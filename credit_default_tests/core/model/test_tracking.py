"""A training that can be tracked no more: its first failed call of MLflow is its last one."""

import os

from credit_default.core.model.tracking import TrainingRun


def test_after_a_call_that_failed_nothing_is_asked_again_and_the_end_of_the_process_waits_for_nobody(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    calls, told = [], []

    def fail() -> None:
        calls.append("asked")
        raise ConnectionError("https://storage.example/?sig=secret")

    run = TrainingRun("train-1", told.append)
    run._attempt(fail)
    run._attempt(fail)
    run.end("FINISHED")
    assert calls == ["asked"]
    assert len(told) == 1
    assert "goes on without (ConnectionError; see whether its server answers)" in told[0]
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
