"""What came of each file of an invocation, by the files that its job left."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from credit_default.ports import StoredFile
from credit_default.resources.azure.endpoints.invocation import Invocations
from credit_default.resources.azure.jobs.job import JobOutcome, Limits

DAYS = ("2026-03-01", "2026-03-02")
FAILURE = json.dumps({"error": "no table", "error_type": "UnreadableFile"}).encode()


@pytest.fixture
def outcomes():
    """Return what came of days, given the names of what the job left, in the order of their making."""

    def make(*names, status="Completed", pause=60, labels=DAYS):
        begun = datetime(2026, 3, 3, tzinfo=UTC)
        files = [
            StoredFile(f"jobs/job-1/output/{name}", 1, begun + number * timedelta(seconds=pause))
            for number, name in enumerate(names)
        ]
        # A listing is sorted by names.
        storage = SimpleNamespace(files=lambda _: sorted(files, key=lambda file: file.key), read=lambda _: FAILURE)
        limits = Limits(1, 1, 1, 1)
        invocations = Invocations(None, storage, "be", at_once=1, limits=limits, poll_seconds=1, unreachable_limit=1)
        watch = SimpleNamespace(
            name="job-1",
            patience=SimpleNamespace(ask=lambda _, question: question()),
            logs=SimpleNamespace(last_words=lambda: ""),
        )
        ending = JobOutcome(status, None, studio_url=None, compute="c", spot=False, queue_seconds=None)
        return dict(invocations._outcomes(watch, ending, labels))

    return make


@pytest.mark.parametrize("pause", [60, 0])
def test_of_a_mini_batch_that_was_tried_again_the_last_scores_count(outcomes, pause):
    found = outcomes(
        "2026-03-01-v.scores.parquet", "2026-03-02-w.scores.parquet", "2026-03-01-v.2.scores.parquet", pause=pause
    )
    assert found["2026-03-01"].scores == "jobs/job-1/output/2026-03-01-v.2.scores.parquet"
    assert found["2026-03-02"].scores == "jobs/job-1/output/2026-03-02-w.scores.parquet"
    assert found["2026-03-01"].shared


def test_scores_count_for_more_than_a_failure_that_a_retry_made_good(outcomes):
    found = outcomes("2026-03-01-v.failure.json", "2026-03-01-v.scores.parquet", "2026-03-02-w.failure.json")
    assert found["2026-03-01"].error_type is None
    assert (found["2026-03-02"].scores, found["2026-03-02"].error_type) == (None, "UnreadableFile")


def test_scores_of_a_job_that_did_not_complete_may_be_half_written_and_count_for_nothing(outcomes):
    found = outcomes("golden-v.scores.parquet", status="Failed", labels=["golden"])["golden"]
    assert (found.scores, found.error_type, found.shared) == (None, None, False)
    assert "Job job-1 did not finish" in str(found.failure)
