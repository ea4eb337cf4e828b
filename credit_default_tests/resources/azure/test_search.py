"""A search as a sweep on Azure ML: the same trials as locally, side by side, and the same model."""

import pytest

from credit_default.errors import JobFailed
from credit_default.resources.local.compute import LocalCompute
from credit_default.settings.azure_compute import Target
from credit_default_tests import trained
from credit_default_tests.platforms import azure_compute
from credit_default_tests.resources.running import Running

pytestmark = pytest.mark.slow


@pytest.fixture
def jobs(azure, emulator):
    return lambda: emulator.jobs(azure.name)


def search(compute, *, trials=4, root=None, step="search", inputs=None, **options):
    running = Running(compute) if root is None else Running(compute, root)
    return running.run(
        call=lambda context: compute.search(context, step, inputs=inputs or {}, options=options, trials=trials)
    )


def everywhere(**target):
    """Targets that run every kind of step, two trials of a search at once."""
    named = Target(compute="cpu-cluster", instance_count=2, **target)
    return dict.fromkeys(("train", "score", "drift"), named)


def test_the_best_trial_comes_back_with_the_figures_of_all(azure, jobs):
    compute = azure_compute(targets=everywhere())
    outcome = search(compute)
    assert outcome.success, outcome.failure
    [stored] = outcome.arrived
    assert stored.result["best_trial"] == 1
    assert [trial["number"] for trial in stored.result["trials"]] == [0, 1, 2, 3]
    assert compute.storage.read(f"{stored.files['model']}/number") == b"1"
    kinds = [(job["type"], job["status"], bool(job["parent"])) for job in jobs()]
    assert kinds == [("Sweep", "Completed", False), *[("Command", "Completed", True)] * 4]


def test_a_trial_that_fails_leaves_the_search_to_the_others(azure, jobs):
    outcome = search(azure_compute(targets=everywhere()), fail="1")
    assert outcome.success, outcome.failure
    assert outcome.arrived[0].result["best_trial"] == 3
    assert any("Trial 1 failed: InputError: trial 1 cannot be fitted" in line for line in outcome.logs)


def test_what_the_trials_print_arrives_once_and_named(azure, jobs, emulator, capsys):
    # The fourth trial is on the second page of what run history lists.
    outcome = search(azure_compute(targets=everywhere()), fail="1,3")
    assert outcome.success, outcome.failure
    printed = capsys.readouterr().out.splitlines()
    for trial in ("1", "3"):
        assert printed.count(f"trial {trial}: credit_default.errors.InputError: trial {trial} cannot be fitted") == 1
        assert f"trial {trial}: Traceback (most recent call last):" in printed


def test_how_many_trials_there_are_makes_no_more_listings_of_messages(azure, jobs, emulator):
    outcome = search(azure_compute(targets=everywhere()))
    assert outcome.success, outcome.failure
    looks, listings = (
        [entry for entry in emulator.journal() if entry["method"] == "GET" and wanted(entry)]
        for wanted in (
            lambda entry: entry["path"].endswith(f"/{azure.name}/jobs/{outcome.arrived[0].job_name}"),
            lambda entry: azure.container in entry["path"] and "messages" in entry["query"],
        )
    )
    assert 0 < len(listings) <= len(looks)


def test_a_trial_that_dies_hard_is_told_with_its_last_words(azure, jobs, emulator):
    outcome = search(azure_compute(targets=everywhere()), trials=2, die="0,1")
    assert "did not finish" in outcome.failure
    assert "trial 0 is about to die" in outcome.failure


def test_when_every_trial_fails_the_first_error_is_told(azure, jobs):
    outcome = search(azure_compute(targets=everywhere()), trials=2, fail="0,1")
    assert f"{JobFailed.__name__}: InputError: trial 0 cannot be fitted" in outcome.failure


def test_stopping_a_search_stops_every_trial(azure, jobs, emulator):
    outcome = search(azure_compute(targets=everywhere(), run_limit=3.0), seconds="60")
    assert "CREDIT_DEFAULT_RUN_LIMIT" in outcome.failure
    assert {job["status"] for job in jobs()} == {"Canceled"}


def test_a_search_that_lost_a_trial_with_its_machine_is_run_again(azure, jobs, emulator):
    emulator.job_fault("^search-.*_1$", preempt=1)
    outcome = search(azure_compute(targets=everywhere(spot_compute="cpu-spot"), spot_attempts=1), seconds="3")
    assert outcome.success, outcome.failure
    assert outcome.arrived[0].result["best_trial"] == 1
    assert [job["compute"] for job in jobs() if job["type"] == "Sweep"] == ["cpu-spot", "cpu-cluster"]


def test_a_search_finds_its_sweep_again(azure, jobs):
    compute = azure_compute(targets=everywhere())

    def fail(_):
        raise RuntimeError("publishing failed")

    running = Running(compute)
    ask = {"call": lambda context: compute.search(context, "search", inputs={}, options={}, trials=2)}
    assert "publishing failed" in running.run(consume=fail, **ask).failure
    outcome = running.run(**ask)
    assert outcome.success, outcome.failure
    assert len([job for job in jobs() if job["type"] == "Sweep"]) == 1


def test_a_sweep_trains_the_model_that_a_local_search_trains(azure, jobs, tmp_path):
    folder = trained.write_prepared(tmp_path / "lake" / "prepared")
    compute = azure_compute(
        targets=everywhere(), steps="credit_default.steps", sources=["credit_default"], poll_seconds=1.0
    )
    for path in folder.iterdir():
        compute.storage.write(f"prepared/{path.name}", path.read_bytes())
    local = LocalCompute(jobs=str(tmp_path / "jobs"), lake=str(tmp_path / "lake"), tracking_uri="")
    models = []
    for place in (local, compute):
        outcome = search(place, step="train", trials=2, inputs={"prepared": "prepared"}, seed="1")
        assert outcome.success, outcome.failure
        models.append(outcome.arrived[0])
    assert models[0].data_version == models[1].data_version
    assert models[0].result["trials"] == models[1].result["trials"]
    sweep = compute.workspace.client().jobs.get(models[1].job_name)
    # Azure saw the figure that each trial logged, and has an opinion of its own about the best.
    assert "best_child_run_id" in sweep.properties


def test_a_workspace_that_refuses_every_call_of_mlflow_fails_no_training(azure, tmp_path, emulator):
    folder = trained.write_prepared(tmp_path / "prepared")
    compute = azure_compute(steps="credit_default.steps", sources=["credit_default"])
    for path in folder.iterdir():
        compute.storage.write(f"prepared/{path.name}", path.read_bytes())
    emulator.fault("*", "^/mlflow/v2.0/", status=403, times=99)
    outcome = search(compute, step="train", trials=1, inputs={"prepared": "prepared"}, seed="1")
    assert outcome.success, outcome.failure
    assert outcome.arrived[0].result["mlflow_run_id"] is None
    assert sum("not tracked in MLflow from here on" in line for line in outcome.logs) == 1
