"""Pipeline jobs under the real SDK: nodes really run, the outputs of one being the inputs of the next."""

import pytest

from credit_default_tests.emulator.clients import client_of, details, python, wait


@pytest.fixture
def client(azure):
    return client_of(azure)


def component(line, *, inputs, name):
    """Return a component with one output folder, `out`."""
    from azure.ai.ml import Output, command

    return command(
        name=name, command=line, inputs=inputs, outputs={"out": Output(type="uri_folder")}, environment="plain:1"
    )


def submit(client, pipeline, name):
    pipeline.name = name
    pipeline.experiment_name = "tests"
    pipeline.settings.default_compute = "cpu-cluster"
    return client.jobs.create_or_update(pipeline)


def test_nodes_run_in_order_and_hand_on_what_they_made(client, tmp_path):
    from azure.ai.ml import Input, dsl

    code = tmp_path / "code"
    code.mkdir()
    (code / "more.sh").write_text('cat "$1"/* > "$2"/made.txt; echo "$3" >> "$2"/made.txt\n')
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("given\n")
    inputs = {"data": Input(type="uri_folder"), "word": Input(type="string", default="usual")}
    more = component("bash more.sh ${{inputs.data}} ${{outputs.out}} ${{inputs.word}}", inputs=inputs, name="more")
    more.code = str(code)

    @dsl.pipeline
    def chain(data, word):
        first = more(data=data, word=word)
        second = more(data=first.outputs.out)
        return {"result": second.outputs.out}

    submit(client, chain(data=Input(type="uri_folder", path=str(tmp_path / "given")), word="asked"), "chain")
    ended = wait(client, "chain")

    assert ended.status == "Completed", details(client, "chain").error
    children = {one.display_name: one for one in client.jobs.list(parent_job_name="chain")}
    assert list(children) == ["first", "second"]
    assert client.jobs.get(children["first"].name).status == "Completed"
    client.jobs.download("chain", download_path=tmp_path, output_name="result")
    assert (tmp_path / "named-outputs/result/made.txt").read_text() == "given\nasked\nusual\n"


def test_a_node_that_fails_ends_the_pipeline(client):
    from azure.ai.ml import Input, dsl

    end = component("exit ${{inputs.code}}", inputs={"code": Input(type="integer")}, name="end")
    after = component("ls ${{inputs.data}}", inputs={"data": Input(type="uri_folder")}, name="after")

    @dsl.pipeline
    def broken():
        first = end(code=9)
        after(data=first.outputs.out)

    submit(client, broken(), "broken")

    assert wait(client, "broken").status == "Failed"
    assert "'first'" in details(client, "broken").error.error.message
    assert [one.display_name for one in client.jobs.list(parent_job_name="broken")] == ["first"]


def test_cancelling_a_pipeline_cancels_the_node_that_runs(client):
    from azure.ai.ml import Input, dsl

    rest = component("sleep ${{inputs.seconds}}", inputs={"seconds": Input(type="integer")}, name="rest")

    @dsl.pipeline
    def long():
        rest(seconds=600)

    submit(client, long(), "long")
    wait(client, "long", "Running")
    while not (children := list(client.jobs.list(parent_job_name="long"))):
        pass

    client.jobs.begin_cancel("long").result()

    assert client.jobs.get("long").status == "Canceled"
    assert client.jobs.get(children[0].name).status == "Canceled"


@pytest.mark.slow
def test_a_sweep_in_a_pipeline_hands_on_the_best_trial(client, tmp_path):
    from azure.ai.ml import Input, dsl
    from azure.ai.ml.sweep import Choice

    score = python('import mlflow; mlflow.log_metric("score", ${{inputs.x}})')
    trial = component(
        f"MLFLOW_DISABLE_TELEMETRY=true {score}; echo ${{{{inputs.x}}}} > ${{{{outputs.out}}}}/x.txt",
        inputs={"x": Input(type="integer")},
        name="trial",
    )
    copy = component("cp ${{inputs.data}}/* ${{outputs.out}}", inputs={"data": Input(type="uri_folder")}, name="copy")

    @dsl.pipeline
    def searching():
        search = trial(x=Choice([1, 8, 3])).sweep(
            primary_metric="score", goal="maximize", sampling_algorithm="grid", compute="cpu-cluster"
        )
        search.set_limits(max_total_trials=3, max_concurrent_trials=2)
        last = copy(data=search.outputs.out)
        return {"result": last.outputs.out}

    submit(client, searching(), "searching")

    assert wait(client, "searching", seconds=90).status == "Completed"
    client.jobs.download("searching", download_path=tmp_path, output_name="result")
    assert (tmp_path / "named-outputs/result/x.txt").read_text() == "8\n"
