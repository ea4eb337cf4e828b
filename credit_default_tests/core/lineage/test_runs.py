"""Whether the times of runs and predictions fit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from credit_default.core.lineage import runs
from credit_default.core.lineage.evidence import Finding, Recorded, Run

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def scoring_run(scored: datetime, *, ended: datetime | None = None, recorded_at: datetime | None = None) -> Finding:
    run = Run("run", "run", "score_batch", "SUCCESS", START, ended)
    made = Recorded("run", recorded_at, "d", "c", {}) if recorded_at else None
    return runs.of_scoring_run(run, "run", since=START, scored_at=scored, recorded=made, log_is_empty=False)


def test_a_prediction_is_scored_between_the_start_of_its_run_and_its_record():
    assert scoring_run(START + SECOND, recorded_at=START + 2 * SECOND).verdict == "ok"
    assert scoring_run(START - SECOND).verdict == "ok", "by another machine's clock"
    assert scoring_run(START - HOUR).verdict == "altered"
    assert scoring_run(START + HOUR).verdict == "ok", "the run goes on"
    assert scoring_run(START + HOUR, ended=START + SECOND).verdict == "altered"
    assert scoring_run(START + HOUR, ended=START + 2 * HOUR, recorded_at=START + SECOND).verdict == "altered"


@pytest.mark.parametrize(("log_is_empty", "verdict"), [(False, "missing"), (True, "cannot be checked")])
def test_a_run_that_is_gone_is_missing_unless_the_log_is_another_ones(log_is_empty, verdict):
    found = runs.of_scoring_run(None, "run", since=START, scored_at=START, recorded=None, log_is_empty=log_is_empty)
    assert found.verdict == verdict
    assert runs.of_training_run(None, None).verdict == "cannot be checked"
    assert runs.of_training_run(None, Recorded("run", START, "d", "c", {})).verdict == "missing"


def test_what_the_index_says_of_a_run_is_held_to_the_runs_own_events():
    indexed = Recorded("run", START, "d", "c", {"rows": 3})
    told = {
        "ok": [Recorded("run", START, "other", "c", {}), indexed],
        "altered": [Recorded("run", START, "d", "c", {"rows": 4})],
        "missing": None,
    }
    for verdict, of_run in told.items():
        assert runs.of_events("scoring log", indexed, of_run).verdict == verdict
    assert runs.of_events("scoring log", indexed, []).verdict == "altered"
    assert runs.of_index("run").verdict == "missing"
