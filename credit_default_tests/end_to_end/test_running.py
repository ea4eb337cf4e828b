"""A job run by command: its days are made, it says what happened, and Dagster's own command leaves no hole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from credit_default_tests.end_to_end.world import CHECKOUT, ago, new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_job_is_run_by_command_says_what_it_does_and_how_it_ended(small):
    good, bad = ago(40), ago(39)
    small.land(good, "clients.csv", csv_text(new_clients(120)))
    small.land(bad, "clients.csv", "no,columns,of,ours\n1,2,3,4\n")
    done = small.command("run", "score_batch", "--from", good, "--to", bad)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith(f"inference_data {good}: stored (rows 120") for line in lines)
    assert any(line.startswith(f"batch_predictions {good}: stored (") for line in lines)
    assert not any(bad in line and "stored" in line for line in lines)
    assert any(line.startswith("step ") and line.endswith(": failed") for line in lines)
    assert done.stderr.startswith("Error: score_batch failed: ")
    assert bad in done.stderr
    assert "Traceback" not in done.stderr
    assert len(small.predictions(good)) == 120
    (run,) = small.runs("score_batch")[:1]
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert run.tags["credit_default/asked_by"]

    again = small.command("run", "score_batch", "--day", good)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1].startswith("score_batch succeeded in ")


def test_rolling_back_by_command_goes_back_and_not_to_the_newest(small):
    done = small.command("run", "rollback_model")
    assert done.returncode == 1
    assert "There is no earlier deployment to go back to" in done.stderr


def launched(world, job: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    dg_command = Path(sys.executable).with_name("dg")
    clean = {name: value for name, value in world.environment.items() if name != "DAGSTER_HOME"}
    return subprocess.run(
        [dg_command, "launch", "--job", job, *more],
        cwd=CHECKOUT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_dagster_launches_beside_the_history_is_refused_in_a_line_and_in_it_is_run(small):
    day, before = ago(2), len(small.runs())
    predictions = small.hashes("predictions")
    refused = launched(small, "score_batch", "--partition", day)
    assert refused.returncode != 0
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert "use `credit-default run score_batch`, or set DAGSTER_HOME=" in line
    assert "Traceback" not in refused.stderr + refused.stdout
    assert small.hashes("predictions") == predictions

    done = launched(small, "check_days", DAGSTER_HOME=str(small.settings.dagster_home))
    assert done.returncode == 0, done.stderr
    assert len(small.runs()) == before + 1
