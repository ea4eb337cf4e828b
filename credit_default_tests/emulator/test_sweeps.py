"""Sweep jobs under the real SDK: every trial is a job that really runs."""

import pytest
from azure.core.exceptions import HttpResponseError

from credit_default_tests.emulator.clients import QUIET, client_of, details, job, log, python, wait


@pytest.fixture
def client(azure):
    return client_of(azure)


def sweep(command, *, name, algorithm="grid", space, limits=None, **options):
    """Return a sweep job over a command job."""
    trial = job(command, name=None, **options)
    swept = trial(**space).sweep(
        sampling_algorithm=algorithm, primary_metric="score", goal="maximize", compute="cpu-cluster"
    )
    swept.set_limits(**{"max_concurrent_trials": 2, **(limits or {})})
    submitted = swept._to_job()
    submitted.name = name
    submitted.experiment_name = "tests"
    return submitted


def choice(*values):
    from azure.ai.ml.sweep import Choice

    return Choice(list(values))


def of_sweep(emulator, azure, name):
    return [one for one in emulator.jobs(azure.name) if one["parent"] == name]


def test_a_grid_runs_a_trial_for_every_combination(client, azure, emulator, tmp_path):
    from azure.ai.ml import Output

    submitted = sweep(
        "echo ${{inputs.a}}-${{inputs.b}} > ${{outputs.made}}/${{inputs.a}}.txt; echo fixed ${{inputs.fixed}}",
        name="grid",
        space={"a": choice(1, 2), "b": choice("x"), "fixed": 7},
        inputs={"a": 0, "b": "", "fixed": 0},
        outputs={"made": Output(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/grid")},
    )

    client.jobs.create_or_update(submitted)
    ended = wait(client, "grid")

    trials = of_sweep(emulator, azure, "grid")
    assert ended.status == "Completed"
    assert [(one["name"], one["status"]) for one in trials] == [("grid_0", "Completed"), ("grid_1", "Completed")]
    assert [child.name for child in client.jobs.list(parent_job_name="grid")] == ["grid_0", "grid_1"]
    assert "fixed 7" in log(client, "grid_1", tmp_path / "log")
    client.jobs.download("grid_0", download_path=tmp_path, output_name="made")
    made = sorted(path.read_text() for path in (tmp_path / "named-outputs" / "made").iterdir())
    assert made == ["1-x\n", "2-x\n"]  # one place, written by every trial
    assert "best_child_run_id" not in ended.properties  # nobody logged the metric


def test_random_draws_as_many_trials_as_asked(client, azure, emulator):
    from azure.ai.ml.sweep import Uniform

    submitted = sweep(
        "test $(echo '${{inputs.a}} < 1' | bc -l 2>/dev/null || echo 1) = 1",
        name="random",
        algorithm="random",
        space={"a": Uniform(0, 1)},
        inputs={"a": 0.0},
        limits={"max_total_trials": 3},
    )

    client.jobs.create_or_update(submitted)

    assert wait(client, "random").status == "Completed"
    assert len(of_sweep(emulator, azure, "random")) == 3


@pytest.mark.slow
def test_the_best_trial_by_its_metric_is_named(client, tmp_path):
    from azure.ai.ml import Output

    program = 'import mlflow; mlflow.log_metric("score", -abs(${{inputs.a}} - 5))'
    submitted = sweep(
        f"{python(program)}; echo ${{{{inputs.a}}}} > ${{{{outputs.made}}}}/a.txt",
        name="best",
        space={"a": choice(1, 4, 9)},
        inputs={"a": 0},
        outputs={"made": Output(type="uri_folder")},
        environment_variables=QUIET,
    )

    client.jobs.create_or_update(submitted)
    ended = wait(client, "best", seconds=90)

    assert ended.properties["best_child_run_id"] == "best_1"
    assert float(ended.properties["score"]) == -1
    client.jobs.download("best", download_path=tmp_path, output_name="made")
    assert (tmp_path / "named-outputs/made/a.txt").read_text() == "4\n"


def test_a_sweep_goes_on_when_a_trial_fails(client, azure, emulator):
    client.jobs.create_or_update(sweep("exit ${{inputs.a}}", name="some", space={"a": choice(3, 0)}, inputs={"a": 0}))

    assert wait(client, "some").status == "Completed"
    assert [one["status"] for one in of_sweep(emulator, azure, "some")] == ["Failed", "Completed"]
    assert "status code 3" in details(client, "some_0").error.error.message


def test_a_sweep_fails_when_every_trial_does(client):
    client.jobs.create_or_update(sweep("exit ${{inputs.a}}", name="none", space={"a": choice(3, 4)}, inputs={"a": 0}))

    assert wait(client, "none").status == "Failed"
    assert "status code 3" in details(client, "none").error.error.message  # that of the first


def test_cancelling_a_sweep_cancels_every_trial(client, azure, emulator):
    client.jobs.create_or_update(
        sweep("sleep 600${{inputs.a}}", name="long", space={"a": choice(1, 2, 3)}, inputs={"a": 0})
    )
    wait(client, "long", "Running")
    wait(client, "long_0", "Running")
    wait(client, "long_1", "Running")
    assert client.jobs.get("long_2").status == "NotStarted"  # two at once

    client.jobs.begin_cancel("long").result()

    assert client.jobs.get("long").status == "Canceled"
    assert {one["status"] for one in of_sweep(emulator, azure, "long")} == {"Canceled"}


def test_a_grid_over_a_range_is_refused(client):
    from azure.ai.ml.sweep import Uniform

    submitted = sweep("echo ${{inputs.a}}", name="range", space={"a": Uniform(0, 1)}, inputs={"a": 0.0})

    with pytest.raises(HttpResponseError, match="only supports choice"):
        client.jobs.create_or_update(submitted)
