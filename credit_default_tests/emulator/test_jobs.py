"""Command jobs under the real SDK: they really run, are watched, fail and are cancelled as on Azure."""

import psutil
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of, details, job, log, python, run, wait


@pytest.fixture
def client(azure):
    return client_of(azure)


def folder_on(azure, path):
    """Return the address of a path on the default datastore."""
    return f"azureml://datastores/workspaceblobstore/paths/{path}"


def steps(emulator, name):
    return [status for one in emulator.jobs() if one["name"] == name for status, _ in one["steps"]]


def test_a_job_gets_its_code_and_inputs_and_leaves_its_output(client, azure, tmp_path):
    from azure.ai.ml import Input, Output

    code = tmp_path / "code"
    code.mkdir()
    (code / "double.py").write_text(
        "import os, pathlib, sys\n"
        "words = pathlib.Path(sys.argv[1], 'deep', 'words.txt').read_text() + pathlib.Path(sys.argv[2]).read_text()\n"
        "pathlib.Path(sys.argv[3], 'deep').mkdir()\n"
        "pathlib.Path(sys.argv[3], 'deep', 'made.txt').write_text(words * int(sys.argv[4]) + os.environ['MARK'])\n"
    )
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "words.txt").write_text("ab")
    (tmp_path / "one.txt").write_text("c")
    submitted = job(
        "python double.py ${{inputs.folder}} ${{inputs.file}} ${{outputs.made}} ${{inputs.times}}",
        code=str(code),
        inputs={
            "folder": Input(type="uri_folder", path=str(tmp_path / "in")),
            "file": Input(type="uri_file", path=str(tmp_path / "one.txt"), mode="download"),
            "times": 2,
        },
        outputs={"made": Output(type="uri_folder", path=folder_on(azure, "somewhere/made"))},
        environment_variables={"MARK": "!"},
    )

    ended = run(client, submitted)

    assert ended.status == "Completed", log(client, ended.name, tmp_path / "log")
    client.jobs.download(ended.name, download_path=tmp_path / "down", output_name="made")
    assert (tmp_path / "down/named-outputs/made/deep/made.txt").read_text() == "abcabc!"
    assert ended.outputs["made"].path == folder_on(azure, "somewhere/made")


def test_a_version_of_a_data_asset_is_an_input(client, tmp_path):
    from azure.ai.ml import Input
    from azure.ai.ml.entities import Data

    (tmp_path / "words.txt").write_text("of an asset\n")
    client.data.create_or_update(Data(name="words", version="3", type="uri_file", path=str(tmp_path / "words.txt")))

    given = Input(type="uri_file", path="azureml:words:3")
    ended = run(client, job("cat ${{inputs.words}}", inputs={"words": given}))

    assert log(client, ended.name, tmp_path / "log") == "of an asset\n"


def test_an_input_that_is_handed_over_directly_is_its_address(client, azure, tmp_path):
    from azure.ai.ml import Input

    given = Input(type="uri_folder", path=folder_on(azure, "anywhere"), mode="direct")
    ended = run(client, job("echo ${{inputs.x}}", inputs={"x": given}))

    assert log(client, ended.name, tmp_path) == folder_on(azure, "anywhere") + "\n"


def test_an_output_without_a_path_goes_below_the_default_datastore(client, tmp_path):
    from azure.ai.ml import Output

    ended = run(client, job("echo made > ${{outputs.file}}", outputs={"file": Output(type="uri_file")}))

    client.jobs.download(ended.name, download_path=tmp_path, all=True)

    assert [path.read_text() for path in (tmp_path / "named-outputs" / "file").rglob("*") if path.is_file()] == [
        "made\n"
    ]


def test_a_job_sees_what_azure_gives_it_and_no_secret_of_whoever_submitted_it(client, azure, emulator, tmp_path):
    ended = run(client, job("env | sort"))

    seen = dict(line.split("=", 1) for line in log(client, ended.name, tmp_path).splitlines() if "=" in line)
    assert seen["AZUREML_RUN_ID"] == ended.name
    assert seen["AZUREML_ARM_WORKSPACE_NAME"] == azure.name
    assert seen["MLFLOW_TRACKING_URI"].startswith("azureml://")
    assert seen["MLFLOW_RUN_ID"]
    assert seen["MSI_ENDPOINT"]
    assert "AZURE_CLIENT_SECRET" not in seen
    assert emulator.environment["AZURE_CLIENT_SECRET"] not in seen.values()


def test_a_job_reads_the_blob_store_as_its_managed_identity(client, azure, tmp_path):
    program = (
        "from azure.identity import DefaultAzureCredential; from azure.storage.blob import ContainerClient; "
        f'c = ContainerClient("https://{azure.account}.blob.core.windows.net", "{azure.container}", '
        'DefaultAzureCredential()); c.upload_blob("greeting", b"hello"); print(c.download_blob("greeting").readall())'
    )

    ended = run(client, job(python(program)))

    assert "b'hello'" in log(client, ended.name, tmp_path)
    assert ended.status == "Completed"


@pytest.mark.slow
def test_logs_are_streamed_while_the_job_runs(client, capsys):
    submitted = client.jobs.create_or_update(job("echo first; sleep 3; echo last"))
    wait(client, submitted.name, "Running")

    client.jobs.stream(submitted.name)

    printed = capsys.readouterr().out
    assert "first\nlast\n" in printed
    assert "user_logs/std_log.txt" in printed


def test_the_log_is_there_before_the_job_ends(client):
    import httpx

    submitted = client.jobs.create_or_update(job("echo early; sleep 20"))
    wait(client, submitted.name, "Running")
    for _ in range(50):
        url = details(client, submitted.name).log_files.get("user_logs/std_log.txt")
        if url and "early" in (text := httpx.get(url).text):
            break

    assert text == "early\n"
    assert client.jobs.get(submitted.name).status == "Running"
    client.jobs.begin_cancel(submitted.name).result()


def test_a_job_that_fails_says_how_and_keeps_what_it_made(client, azure, tmp_path):
    from azure.ai.ml import Output
    from azure.ai.ml.exceptions import JobException

    submitted = client.jobs.create_or_update(
        job(
            "echo part > ${{outputs.made}}/part.txt; " + python("raise ValueError(7)"),
            outputs={"made": Output(type="uri_folder")},
        )
    )
    ended = wait(client, submitted.name)

    assert ended.status == "Failed"
    with pytest.raises(JobException, match="exited with status code 1"):
        client.jobs.stream(ended.name)
    error = details(client, ended.name).error.error
    assert error.code == "UserError"
    assert "ValueError: 7" in error.message
    client.jobs.download(ended.name, download_path=tmp_path, output_name="made")
    assert (tmp_path / "named-outputs/made/part.txt").read_text() == "part\n"


def test_a_job_goes_through_the_states_of_azure_and_tells_its_times(client, emulator):
    ended = run(client, job("sleep 0.5"))

    told = details(client, ended.name)
    assert steps(emulator, ended.name) == ["NotStarted", "Queued", "Preparing", "Running", "Finalizing", "Completed"]
    assert 0.4 < (told.end_time_utc - told.start_time_utc).total_seconds() < 10
    assert told.created_time_utc <= told.start_time_utc
    assert ended.studio_url.startswith(f"https://ml.azure.com/runs/{ended.name}?wsid=/subscriptions/")


def test_a_cancelled_job_ends_with_everything_it_started(client):
    submitted = client.jobs.create_or_update(job("sleep 4321.5 & sleep 4321.5"))
    wait(client, submitted.name, "Running")

    client.jobs.begin_cancel(submitted.name).result()

    assert client.jobs.get(submitted.name).status == "Canceled"
    assert not [one for one in psutil.process_iter(["cmdline"]) if "4321.5" in (one.info["cmdline"] or [])]
    client.jobs.begin_cancel(submitted.name).result()  # a second time changes nothing


def test_a_job_in_the_queue_is_cancelled_and_never_runs(client, emulator):
    submitted = job("echo never")
    emulator.job_fault(submitted.name, queue_seconds=600)
    client.jobs.create_or_update(submitted)
    wait(client, submitted.name, "Queued")

    client.jobs.begin_cancel(submitted.name).result()

    assert steps(emulator, submitted.name) == ["NotStarted", "Queued", "CancelRequested", "Canceled"]


def test_a_name_is_used_once(client, emulator):
    run(client, job("true", name="once"))

    with pytest.raises((ResourceExistsError, HttpResponseError)) as refused:
        client.jobs.create_or_update(job("true", name="once"))

    assert refused.value.status_code == 409
    assert len([one for one in emulator.jobs(client.workspace_name) if one["name"] == "once"]) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"compute": "none-such"}, "none-such"),
        ({"environment": "plain:2"}, "plain:2"),
        ({"command": "echo ${{outputs.absent}}"}, "outputs.absent"),
        ({"name": "a name"}, "a name"),
    ],
)
def test_what_is_not_there_is_refused_when_submitted(client, emulator, wrong, told):
    submitted = job("true")
    for field, value in wrong.items():
        setattr(submitted, field, value)

    with pytest.raises(Exception, match=told):
        client.jobs.create_or_update(submitted)

    assert emulator.jobs(client.workspace_name) == []


def test_a_datastore_that_is_not_there_is_refused_when_submitted(client):
    from azure.ai.ml import Input

    given = Input(type="uri_folder", path="azureml://datastores/nowhere/paths/x/")
    with pytest.raises(ResourceNotFoundError, match="nowhere"):
        client.jobs.create_or_update(job("ls ${{inputs.x}}", inputs={"x": given}))


@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
def test_a_path_that_is_not_there_fails_the_job_before_it_starts(client, azure, emulator, kind):
    from azure.ai.ml import Input

    given = Input(type=kind, path=folder_on(azure, "nothing/here"))
    ended = run(client, job("ls ${{inputs.x}}", inputs={"x": given}))

    assert ended.status == "Failed"
    assert "Running" not in steps(emulator, ended.name)
    error = details(client, ended.name).error.error
    assert (error.code, "nothing/here" in error.message) == ("UserError", True)


def test_a_job_is_stopped_at_its_time_limit(client):
    ended = run(client, job("sleep 600", timeout=1))

    assert ended.status == "Canceled"
    assert "limit" in details(client, ended.name).error.error.message


def test_a_compute_runs_as_many_jobs_as_it_has_nodes(client, emulator):
    first = [client.jobs.create_or_update(job("sleep 60")).name for _ in range(2)]
    for name in first:
        wait(client, name, "Running")
    third = client.jobs.create_or_update(job("true")).name
    elsewhere = run(client, job("true", compute="cpu-spot"))

    assert client.jobs.get(third).status == "Queued"
    assert elsewhere.status == "Completed"
    client.jobs.begin_cancel(first[0]).result()
    assert wait(client, third).status == "Completed"
    client.jobs.begin_cancel(first[1]).result()


def test_a_killed_program_fails_the_job(client, emulator):
    submitted = job("sleep 600")
    emulator.job_fault(submitted.name, kill=1)

    ended = run(client, submitted)

    assert ended.status == "Failed"
    assert "status code 137" in details(client, ended.name).error.error.message


@pytest.mark.slow
def test_a_preempted_job_fails_on_spot_only(client, emulator):
    emulator.job_fault("-spot-", preempt=2)

    spot = [run(client, job("sleep 1", name=f"{client.workspace_name}-spot-{n}", compute="cpu-spot")) for n in range(3)]
    dedicated = run(client, job("sleep 1", name=f"{client.workspace_name}-spot-d"))

    assert [one.status for one in (*spot, dedicated)] == ["Failed", "Failed", "Completed", "Completed"]
    error = details(client, spot[0].name).error.error
    assert (error.code, "PreemptionError: Nodes of this job got pre-empted" in error.message) == ("UserError", True)


@pytest.mark.slow
def test_a_preempted_job_may_start_again_by_itself(client, emulator, tmp_path):
    submitted = job("echo begun; sleep 3; echo done", compute="cpu-spot")
    emulator.job_fault(submitted.name, preempt=1, requeue=True)

    ended = run(client, submitted)

    assert ended.status == "Completed"
    assert steps(emulator, ended.name).count("Running") == 2
    assert log(client, ended.name, tmp_path) == "begun\nbegun\ndone\n"


@pytest.mark.parametrize("state", ["NotResponding", "Paused"])
def test_a_job_stays_in_a_state_until_the_fault_is_cleared_or_it_is_cancelled(client, emulator, state):
    submitted = job("true")
    emulator.job_fault(submitted.name, state=state)
    client.jobs.create_or_update(submitted)
    wait(client, submitted.name, state)

    emulator.clear_faults()

    assert wait(client, submitted.name).status == "Completed"


def test_a_held_job_runs_on_after_its_program(client, emulator):
    submitted = job("true")
    emulator.job_fault(submitted.name, hold=True)
    client.jobs.create_or_update(submitted)
    wait(client, submitted.name, "Running")

    with pytest.raises(AssertionError, match=r"not .*Completed"):
        wait(client, submitted.name, seconds=1)
    client.jobs.begin_cancel(submitted.name).result()

    assert client.jobs.get(submitted.name).status == "Canceled"


def test_jobs_are_listed_newest_first(client):
    names = [run(client, job("true")).name for _ in range(2)]

    assert [one.name for one in client.jobs.list()] == names[::-1]


def test_serverless_compute_needs_no_cluster(client, emulator):
    ended = run(client, job("true", compute=None, instance_type="Standard_D4s_v5"))

    assert ended.status == "Completed"
    assert [one["compute"] for one in emulator.jobs(client.workspace_name)] == ["serverless"]


@pytest.mark.parametrize(
    "change",
    [
        'made.replace(out / "final.txt")',
        "made.unlink()",
        'made.write_text("again")',
        'made.open("a").close()',
        "os.rename(made, os.environ['HOME'] + '/away')",
        "os.chdir(out); os.remove('made.txt')",
    ],
)
def test_what_is_in_a_mounted_output_is_neither_renamed_nor_removed_nor_written_anew(client, azure, tmp_path, change):
    from azure.ai.ml import Output

    program = "import os, pathlib, sys\nout = pathlib.Path(sys.argv[1])\nmade = out / 'made.txt'\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "change.py").write_text(f"{program}made.write_text('once')\n{change}\n")
    output = {"made": Output(type="uri_folder", path=folder_on(azure, "mounted"))}

    ended = run(client, job("python change.py ${{outputs.made}}", code=str(tmp_path / "code"), outputs=output))

    assert ended.status == "Failed"
    assert (
        "impossible to move, rename, remove or rewrite existing files"
        in details(client, ended.name)["error"]["error"]["message"]
    )


@pytest.mark.parametrize("mode", ["ro_mount", "download"])
@pytest.mark.parametrize("change", ["(given / 'new.txt').write_text('new')", "(given / 'new').mkdir()"])
def test_below_a_mounted_input_nothing_is_written(client, azure, tmp_path, mode, change):
    from azure.ai.ml import Input

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "change.py").write_text(f"import pathlib, sys\ngiven = pathlib.Path(sys.argv[1])\n{change}\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("one")
    given = {"given": Input(type="uri_folder", path=str(tmp_path / "in"), mode=mode)}

    ended = run(client, job("python change.py ${{inputs.given}}", code=str(tmp_path / "code"), inputs=given))

    if mode == "download":
        assert ended.status == "Completed"
    else:
        assert "Read-only file system" in details(client, ended.name)["error"]["error"]["message"]


def test_a_mounted_output_shows_what_is_there_which_stays_as_it_is(client, azure, emulator, tmp_path):
    from azure.ai.ml import Output

    def output():
        return {"made": Output(type="uri_folder", path=folder_on(azure, "shared"))}

    first = run(client, job("echo one > ${{outputs.made}}/one", outputs=output()))
    beside = run(client, job("cat ${{outputs.made}}/one; echo two > ${{outputs.made}}/two", outputs=output()))
    moved = run(client, job("mv ${{outputs.made}}/one ${{outputs.made}}/three", outputs=output()))

    assert [one.status for one in (first, beside, moved)] == ["Completed", "Completed", "Failed"]
    assert log(client, beside.name, tmp_path) == "one\n"
    assert "changed: one" in details(client, moved.name)["error"]["error"]["message"]
