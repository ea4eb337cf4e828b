"""What holds for every asset of a kind."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files

import yaml

from credit_default.defs.automation.jobs import JOBS
from credit_default.defs.shared.policies import DAILY_TABLES, DAYS, FRESHNESS, MODEL_TABLES, spec
from credit_default.settings import DEFAULT_START
from credit_default_tests.defs.conftest import day


def test_days_begin_at_the_fixed_start_and_today_is_one():
    assert DAYS.get_first_partition_key() == DEFAULT_START
    assert DAYS.get_last_partition_key() == day(0)
    assert DAYS.has_partition_key(day(0))
    assert not DAYS.has_partition_key(day(-1))


def test_a_day_is_24_hours_of_utc_in_summer_as_in_winter():
    for name in ("2026-01-15", "2026-07-15"):
        window = DAYS.time_window_for_partition_key(name)
        assert (window.start.isoformat(), window.end - window.start) == (f"{name}T00:00:00+00:00", timedelta(days=1))


def test_predictions_and_drift_are_late_after_a_day_and_a_model_after_a_month():
    for asset in ("batch_predictions", "drift_metrics"):
        assert (
            timedelta(hours=24)
            < FRESHNESS[asset].warn_window.to_timedelta()
            < FRESHNESS[asset].fail_window.to_timedelta()
        )
    assert FRESHNESS["trained_model"].warn_window.to_timedelta() > timedelta(days=31)
    assert (
        spec("drift_metrics", group="monitoring", description="", kinds=set()).freshness_policy
        == FRESHNESS["drift_metrics"]
    )


def test_runs_that_write_the_same_tables_carry_the_tag_that_the_instance_limits_to_one_at_a_time():
    text = files("credit_default.resources.local").joinpath("dagster.yaml").read_text("utf-8")
    limits = yaml.safe_load(text)["concurrency"]["runs"]["tag_concurrency_limits"]
    limited = {(limit["key"], limit["value"]) for limit in limits if limit["limit"] == 1}
    writers = {job.name: job for job in JOBS if not job.name.startswith("check")}
    assert set(writers) == {
        "train_model",
        "deploy_model",
        "deploy_online",
        "score_batch",
        "judge_predictions",
        "export_online_inputs",
        "retrain",
        "rollback_model",
        "apply_retention",
    }
    for name, job in writers.items():
        assert limited & set(job.tags.items()), name
    for tags in (DAILY_TABLES, MODEL_TABLES):
        assert set(tags.items()) <= limited
