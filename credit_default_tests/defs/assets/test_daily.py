"""Many days in one run, each on its own: what goes wrong with one is told, and the others stand."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

import credit_default
from credit_default.core.contract import acceptance
from credit_default.core.data.check_names import CURATED_CHECKS
from credit_default.defs.assets import data, monitoring, scoring
from credit_default.defs.automation.jobs import judge_predictions, score_batch
from credit_default.defs.landing import ingestion, refusals
from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.errors import JobKilled
from credit_default.ports import (
    BatchEndpoint,
    Compute,
    DayRejected,
    EndpointState,
    ModelRegistry,
    ModelVersion,
    StepMessage,
    StepResult,
)
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.telemetry.kql.kql import run as kql

DAYS = ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]
QUERIES = Path(credit_default.__file__).parent / "deploy" / "queries"
#: Those about days of which rows or outcomes are not usable.
ALERTS = [QUERIES / f"{name}.kql" for name in ("low_acceptance", "unjoined_outcomes")]
#: The step that makes each asset.
STEPS = {"inference_data": "inference_data", "batch_predictions": "score", "drift_metrics": "drift"}


def drift_of(day: str) -> dict[str, Any]:
    feature = {
        "feature_name": "age",
        "drift_score": float(day[-2:]),
        "drift_detected": True,
        "feature_type": "num",
        "stattest_name": "Wasserstein distance (normed)",
        "csi": 0.3,
        "csi_limit": 0.25,
        "violation": True,
    }
    overall = {
        "n_features": 1,
        "n_drifted_features": 1,
        "share_drifted_features": 1.0,
        "dataset_drift": True,
        "violation": True,
        "violating_features": ["age"],
        "max_csi": 0.3,
        "psi": float(day[-2:]),
    }
    return {"partition": day, "model_name": "credit-card-default", "model_version": "7", "overall": overall,
            "features": [feature]}  # fmt: skip


class ScriptedCompute(Compute):
    """Steps whose days and contents are known beforehand.

    `refused` maps step and day to what the step says, `kills` names those at which the system kills it, and of
    `worthless` days no row is accepted and hardly any outcome joins.
    """

    folder: str
    refused: dict[str, str] = Field(default_factory=dict)
    kills: list[str] = Field(default_factory=list)
    worthless: list[str] = Field(default_factory=list)
    checks: list[dict[str, Any]] = Field(default_factory=list)
    edition: int = 1

    def run(self, context, step, *, inputs, options=None, days=(), versions=()) -> Iterator[StepMessage]:
        for day in days or [None]:
            if f"{step}/{day}" in self.kills:
                raise JobKilled(f"Job {step}-job did not finish: it was killed.", "it was killed")
            problem = self.refused.get(f"{step}/{day}")
            if problem is not None:
                yield DayRejected(str(day), problem, "ContractError")
                continue
            files = {}
            for what, content in self._files(step, str(day)).items():
                path = Path(self.folder) / f"{step}-{day}-{what}"
                path.unlink(missing_ok=True)
                path.write_text(content)
                files[what] = str(path)
            version = hashlib.sha256(f"{step} {day} {self.edition}".encode()).hexdigest()
            yield StepResult(day, version, self._result(day), files, self.checks, f"{step}-job")

    def _files(self, step: str, day: str) -> dict[str, str]:
        if step == "drift":
            return {"drift": json.dumps(drift_of(day)), "report": "<html>"}
        if step == "score":
            return {"predictions": f"predictions of {day}, edition {self.edition}"}
        if step == "performance":
            warning = "hardly any joins" if day in self.worthless else None
            result = {"metrics": {"roc_auc": 0.77}, "bands": [], "n_joined": 3, "warning": warning}
            return {"performance": json.dumps(result)}
        return {"table": f"table of {day}, edition {self.edition}", **self._rejected(day)}

    def _rejected(self, day: str) -> dict[str, str]:
        """Rows of the first day are refused, until its files are mended in the second edition."""
        return {"quarantine": "rejected"} if day == DAYS[0] and self.edition == 1 else {}

    def _result(self, day: str | None) -> dict[str, Any]:
        rows = 100 + int(day[-2:]) if day else 2_000
        accepted = 0 if day in self.worthless else rows - 1
        share = acceptance.evaluate_share(rows, accepted)
        return {"rows": rows, "accepted": accepted, "rejected": rows - accepted, **share,
                "by_reason": {"age: number: range": rows - accepted},
                "files": {"clients.csv": {"rows": rows, "rejected": 1, "sha256": f"sha256 of {day}"}},
                "mean_pd": 0.2, "origins": {"bundled": rows}}  # fmt: skip


class ScriptedEndpoint(BatchEndpoint):
    """Scores by the scripted compute."""

    compute: dg.ResourceDependency[ScriptedCompute]

    def invoke(self, context, days, *, versions=()) -> Iterator[StepMessage]:
        yield from self.compute.run(context, "score", inputs={}, days=days)

    def state(self) -> EndpointState:
        raise NotImplementedError

    def deploy(self, context, model):
        raise NotImplementedError

    def make_default(self, version, *, changed_by=""):
        raise NotImplementedError


class EmptyRegistry(ModelRegistry):
    """Knows of no model: the scripted steps need none."""

    def versions(self) -> list[ModelVersion]:
        return []

    def register(self, key, *, sha256, tags):
        raise NotImplementedError

    def get(self, version_or_alias):
        raise NotImplementedError

    def set_alias(self, alias, version):
        raise NotImplementedError


@pytest.fixture
def telemetry(tmp_path) -> LocalTelemetry:
    return LocalTelemetry(folder=str(tmp_path / "telemetry"))


@pytest.fixture
def play(instance, storage, telemetry, tmp_path):
    """Run a job over a range of days, in one run, as the range tags of sensors ask for it."""

    def run(job=score_batch, first=DAYS[0], last=DAYS[-1], only=None, **script):
        (tmp_path / "jobs").mkdir(exist_ok=True)
        compute = ScriptedCompute(folder=str(tmp_path / "jobs"), **script)
        definitions = dg.Definitions(
            assets=[*scoring.ASSETS, *monitoring.ASSETS],
            jobs=[job],
            resources={
                "compute": compute,
                "storage": storage,
                "endpoint": ScriptedEndpoint(compute=compute),
                "registry": EmptyRegistry(),
                "telemetry": telemetry,
            },
        )
        return definitions.resolve_job_def(job.name).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={RANGE_START: first, RANGE_END: last},
            asset_selection=[dg.AssetKey(asset) for asset in only] if only else None,
        )

    return run


def made(instance, asset: str) -> dict[str, dg.AssetMaterialization]:
    """The newest materialisation of each day."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100, ascending=True).records
    return {record.asset_materialization.partition: record.asset_materialization for record in records}


def failure(result) -> tuple[str, dict[str, Any]]:
    """The message and the metadata of the step that failed."""
    (event,) = result.get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    return told.description, {day: value.value for day, value in told.metadata.items()}


def test_each_day_of_a_range_has_its_own_record_version_and_figures(play, instance, storage):
    assert play().success
    for asset, step in STEPS.items():
        records = made(instance, asset)
        assert list(records) == DAYS, asset
        for day, record in records.items():
            expected = hashlib.sha256(f"{step} {day} 1".encode()).hexdigest()
            assert record.tags["dagster/data_version"] == expected
            assert record.metadata["job"].value == f"{step}-job"
    rows = {day: record.metadata["dagster/row_count"].value for day, record in made(instance, "inference_data").items()}
    assert rows == {day: 99 + int(day[-2:]) for day in DAYS}
    psi = {day: record.metadata["psi"].value for day, record in made(instance, "drift_metrics").items()}
    assert psi == {day: float(day[-2:]) for day in DAYS}
    for day in DAYS:
        assert storage.read(f"inference_data/{day}/inference_data.parquet") == f"table of {day}, edition 1".encode()
        assert json.loads(storage.read(f"drift/{day}/drift.json"))["partition"] == day
    assert len(instance.get_runs()) == 1


def test_dagster_sees_every_day_as_materialised(play, instance):
    play()
    assert instance.get_materialized_partitions(dg.AssetKey("drift_metrics")) == set(DAYS)


def test_a_refused_day_drops_out_and_the_others_go_on_to_the_end(play, instance):
    result = play(refused={f"inference_data/{DAYS[1]}": "columns age: missing; expected the curated schema"})
    assert not result.success
    others = [day for day in DAYS if day != DAYS[1]]
    for asset in ("inference_data", "batch_predictions", "drift_metrics"):
        assert list(made(instance, asset)) == others
    told, details = failure(result)
    assert told.startswith("1 of 4 days failed; the others went on to the end and stand.")
    assert f"{DAYS[1]}: inference_data: columns age: missing; expected the curated schema" in told
    assert details == {DAYS[1]: "inference_data: columns age: missing; expected the curated schema"}


def test_days_that_fail_at_different_steps_are_each_told_with_their_asset(play, instance):
    result = play(refused={f"inference_data/{DAYS[0]}": "not text", f"drift/{DAYS[2]}": "no reference"})
    told, _ = failure(result)
    assert told.startswith("2 of 4")
    assert f"{DAYS[0]}: inference_data: not text" in told
    assert f"{DAYS[2]}: drift_metrics: no reference" in told
    assert list(made(instance, "batch_predictions")) == DAYS[1:]
    assert list(made(instance, "drift_metrics")) == [DAYS[1], DAYS[3]]


def test_when_every_day_is_refused_nothing_follows(play, instance):
    result = play(refused={f"inference_data/{day}": "an empty folder" for day in DAYS})
    assert failure(result)[0].startswith("4 of 4")
    assert made(instance, "batch_predictions") == {}
    assert made(instance, "drift_metrics") == {}


def test_a_day_that_is_refused_keeps_what_was_published_before(play, instance, storage):
    play()
    assert not play(refused={f"score/{DAYS[0]}": "not a table"}, edition=2).success
    assert storage.read(f"predictions/{DAYS[0]}/predictions.parquet") == f"predictions of {DAYS[0]}, edition 1".encode()
    assert storage.read(f"predictions/{DAYS[1]}/predictions.parquet") == f"predictions of {DAYS[1]}, edition 2".encode()


def test_predictions_that_are_replaced_are_kept(play, storage):
    play()
    play(edition=2)
    (kept,) = storage.entries(f"superseded_predictions/{DAYS[0]}")
    assert storage.read(f"superseded_predictions/{DAYS[0]}/{kept.name}").endswith(b"edition 1")


@pytest.fixture
def emptied(play, landing, storage):
    """A day that was scored and judged, and whose folder of clients holds a marker only since; its play."""
    landing.put(DAYS[0], folder=monitoring.LANDING)
    path = landing.put(DAYS[0])
    assert play().success
    assert play(job=judge_predictions).success
    path.rename(path.with_name("_withdrawn"))
    return lambda **options: play(edition=2, **options)


def kept(storage, folder: str) -> list[bytes]:
    return [storage.read(f"{folder}/{entry.name}") for entry in storage.entries(folder)]


def test_an_emptied_day_is_shown_as_such_and_what_was_made_of_it_is_withdrawn(emptied, instance, storage, telemetry):
    assert emptied().success
    day = DAYS[0]
    for key in (
        f"inference_data/{day}/inference_data.parquet",
        f"predictions/{day}/predictions.parquet",
        f"quarantine/inference_data/{day}/rejected.csv",
        f"drift/{day}/drift.json",
        f"drift/{day}/report.html",
        f"taken_in/inference_data/{day}.json",
    ):
        assert not storage.exists(key), key
    assert kept(storage, f"superseded_inference_data/{day}") == [f"table of {day}, edition 1".encode()]
    assert kept(storage, f"superseded_predictions/{day}") == [f"predictions of {day}, edition 1".encode()]
    for asset in STEPS:
        record = made(instance, asset)[day]
        assert record.metadata["dagster/row_count"].value == 0
        assert "emptied" in record.metadata
        assert "emptied" not in made(instance, asset)[DAYS[1]].metadata
    assert made(instance, "inference_data")[day].metadata["landing_fingerprint"].value == ""
    # The other days were made again as ever, and no step was asked for this one.
    assert storage.read(f"predictions/{DAYS[1]}/predictions.parquet").endswith(b"edition 2")
    calm = made(instance, "drift_metrics")[day].metadata
    assert (calm["violation"].value, calm["model_version"].value) == (False, "7")


def test_what_follows_from_an_emptied_day_is_withdrawn_too_and_nothing_fails(emptied, instance, storage, play):
    assert emptied(only=["inference_data"]).success
    # As when the run died there: what was left is made good by the next one, also of single assets.
    assert storage.exists(f"predictions/{DAYS[0]}/predictions.parquet")
    assert emptied(only=["batch_predictions", "drift_metrics"], last=DAYS[0]).success
    assert not storage.exists(f"predictions/{DAYS[0]}/predictions.parquet")
    assert emptied(last=DAYS[0]).success
    assert len(kept(storage, f"superseded_predictions/{DAYS[0]}")) == 1
    # Its outcomes have nothing to judge any more.
    assert storage.exists(f"performance/{DAYS[0]}/performance.json")
    assert play(job=judge_predictions, last=DAYS[0]).success
    assert not storage.exists(f"performance/{DAYS[0]}/performance.json")
    assert "no predictions" in made(instance, "model_performance")[DAYS[0]].metadata["emptied"].value
    assert made(instance, "outcomes")[DAYS[0]].metadata["dagster/row_count"].value == 129


def test_a_day_that_is_filled_again_is_made_again(emptied, landing, instance, storage):
    emptied(last=DAYS[0])
    landing.put(DAYS[0])
    assert emptied(last=DAYS[0]).success
    assert storage.read(f"predictions/{DAYS[0]}/predictions.parquet").endswith(b"edition 2")
    assert all("emptied" not in made(instance, asset)[DAYS[0]].metadata for asset in STEPS)


def test_outcomes_that_are_emptied_are_withdrawn_with_what_was_measured_by_them(play, landing, instance, storage):
    path = landing.put(DAYS[0], folder=monitoring.LANDING)
    assert play(job=judge_predictions, last=DAYS[0]).success
    path.unlink()
    instance.wipe_assets([dg.AssetKey("outcomes")])  # as when another Dagster instance had made them
    assert play(job=judge_predictions, last=DAYS[0]).success
    assert kept(storage, f"superseded_outcomes/{DAYS[0]}") == [f"table of {DAYS[0]}, edition 1".encode()]
    assert not storage.exists(f"outcomes/{DAYS[0]}/outcomes.parquet")
    assert not storage.exists(f"performance/{DAYS[0]}/performance.json")
    record = made(instance, "model_performance")[DAYS[0]]
    assert "no outcomes" in record.metadata["emptied"].value


def test_a_withdrawn_day_leaves_the_alerts(play, landing, telemetry):
    def play_both(**options) -> list[list[str]]:
        """Play a day; returns the days that each query finds then."""
        for job in (score_batch, judge_predictions):
            assert play(job=job, last=DAYS[0], **options).success
        return [[row["day"] for row in telemetry.query(query.read_text("utf-8"))] for query in ALERTS]

    landed = [landing.put(DAYS[0], folder=folder) for folder in (scoring.LANDING, monitoring.LANDING)]
    assert play_both(worthless=[DAYS[0]]) == [[DAYS[0], DAYS[0]], [DAYS[0]]]
    for path in landed:
        path.unlink()
    assert play_both() == [[], []]
    records = "traces | where message has 'AcceptedRows' or message has 'JoinedOutcomes'"
    assert len(telemetry.query(records)) == 2 * 3


def test_a_day_that_is_a_link_is_refused_by_name_and_the_others_are_made(play, landing, instance, storage, tmp_path):
    landing.put(DAYS[1])
    storage.path(f"{scoring.LANDING}/{DAYS[0]}").symlink_to(tmp_path)
    told, _ = failure(play())
    assert told.startswith("1 of 4 days failed; the others went on")
    assert f"{DAYS[0]}: inference_data: {scoring.LANDING}/{DAYS[0]}: a link, and links are not followed" in told
    assert list(made(instance, "drift_metrics")) == DAYS[1:]


@pytest.mark.parametrize(
    ("asset", "folder"),
    [("inference_data", "inference_data"), ("batch_predictions", "predictions"), ("drift_metrics", "drift")],
)
def test_a_day_that_cannot_be_stored_is_refused_by_name_and_the_others_are_made(
    play, storage, *, instance, asset, folder
):
    storage.path(folder).mkdir(parents=True)
    storage.path(f"{folder}/{DAYS[1]}").touch()  # as good as a folder that may not be written to
    told, details = failure(play())
    assert told.startswith("1 of 4 days failed; the others went on")
    assert details[DAYS[1]].startswith(f"{asset}: ended in FileExistsError")
    assert list(made(instance, "drift_metrics")) == [day for day in DAYS if day != DAYS[1]]


def test_what_was_measured_of_one_day_and_cannot_be_stored_takes_no_other_along(play, storage, instance):
    assert play().success
    storage.path("performance").mkdir()
    storage.path(f"performance/{DAYS[1]}").touch()
    told, _ = failure(play(judge_predictions))
    assert told.startswith(f"1 of 4 days failed; the others went on to the end and stand.\n{DAYS[1]}: model_perf")
    assert list(made(instance, "model_performance")) == [day for day in DAYS if day != DAYS[1]]


@pytest.mark.parametrize("step", ["inference_data", "score", "drift"])
def test_a_day_that_kills_every_step_is_given_up_and_remembered_until_it_is_made(
    play, landing, storage, *, instance, monkeypatch, step
):
    monkeypatch.setenv("CREDIT_DEFAULT_RETRY_DELAY", "0.01")
    day = DAYS[1]
    landing.put(day)
    told, _ = failure(play(kills=[f"{step}/{day}"]))
    asset = {made_by: asset for asset, made_by in STEPS.items()}[step]
    assert told.startswith("1 of 4 days failed; the others went on")
    assert f"{day}: {asset}: the step was killed 2 times while it worked on this day alone" in told
    assert [done for done in DAYS if done in made(instance, "drift_metrics")] == [DAYS[0], *DAYS[2:]]
    refusal = refusals.read(storage, "inference_data", day)
    assert refusal.asset == asset
    assert refusal.inputs == storage.fingerprint(f"{scoring.LANDING}/{day}")
    assert refusals.find(storage, "inference_data") == [day]
    assert play(edition=2).success  # by hand
    assert refusals.find(storage, "inference_data") == []


@pytest.mark.parametrize(("job", "asset"), [(score_batch, "inference_data"), (judge_predictions, "outcomes")])
def test_a_table_that_another_one_replaces_is_kept(play, storage, job, asset):
    play(job=job)
    play(job=job)
    assert storage.entries(f"superseded_{asset}") == [], "the same table again replaces nothing"
    play(job=job, edition=2)
    (kept,) = storage.entries(f"superseded_{asset}/{DAYS[0]}")
    assert storage.read(f"superseded_{asset}/{DAYS[0]}/{kept.name}") == f"table of {DAYS[0]}, edition 1".encode()


def test_the_record_says_what_each_landed_file_held(play, instance):
    play()
    (file,) = made(instance, "inference_data")[DAYS[0]].metadata["files"].records
    assert file.data == {"file": "clients.csv", "rows": 130, "rejected": 1, "sha256": f"sha256 of {DAYS[0]}"}


def test_a_day_of_which_no_row_is_accepted_is_a_success_that_says_so(play, instance, telemetry):
    assert play(worthless=[DAYS[1]]).success
    shown = {day: record.metadata for day, record in made(instance, "inference_data").items()}
    assert {day: of["acceptance"].value for day, of in shown.items()} == {
        day: "error" if day == DAYS[1] else "ok" for day in DAYS
    }
    assert shown[DAYS[1]]["accepted_share"].value == 0
    assert figures(telemetry, "accepted_share")[DAYS[1]] == [0]
    wanted = "traces | where message has 'AcceptedRows' | extend data = parse_json(message).data"
    rows = telemetry.query(f"{wanted} | project severityLevel, day = tostring(data.partition)")
    assert {row["day"]: row["severityLevel"] for row in rows} == {day: 3 if day == DAYS[1] else 1 for day in DAYS}


def test_the_record_holds_the_fingerprint_of_the_files_it_was_made_from(play, instance, landing, storage):
    landing.put(DAYS[0])
    play()
    records = made(instance, "inference_data")
    assert records[DAYS[0]].metadata["landing_fingerprint"].value == storage.fingerprint(f"{scoring.LANDING}/{DAYS[0]}")


@pytest.mark.parametrize(("job", "asset"), [(score_batch, "inference_data"), (judge_predictions, "outcomes")])
def test_the_lake_says_which_files_gave_which_table_and_of_a_refused_day_still_the_last_one(play, storage, job, asset):
    folder = {"inference_data": scoring.LANDING, "outcomes": monitoring.LANDING}[asset]
    storage.write(f"{folder}/{DAYS[0]}/clients.csv", b"client_id")
    play(job=job)
    made_of = ingestion.IngestionRecord(
        storage.fingerprint(f"{folder}/{DAYS[0]}"), hashlib.sha256(f"{asset} {DAYS[0]} 1".encode()).hexdigest()
    )
    assert ingestion.of(storage, asset, DAYS[0]) == made_of
    storage.write(f"{folder}/{DAYS[0]}/more.csv", b"client_id")
    play(job=job, edition=2, refused={f"{asset}/{DAYS[0]}": "not text"})
    assert ingestion.of(storage, asset, DAYS[0]) == made_of
    assert ingestion.of(storage, asset, "2026-02-28") is None


def test_rejected_rows_are_published_for_the_days_that_have_some(play, storage, instance):
    play()
    assert [entry.name for entry in storage.entries("quarantine/inference_data")] == [DAYS[0]]
    assert "quarantine" in made(instance, "inference_data")[DAYS[0]].metadata
    assert "quarantine" not in made(instance, "inference_data")[DAYS[1]].metadata


def test_what_was_refused_of_files_that_are_mended_does_not_stay_in_quarantine(play, storage):
    key = f"quarantine/inference_data/{DAYS[0]}/rejected.csv"
    play()
    assert storage.exists(key)
    play(edition=2)
    assert not storage.exists(key)


def test_drift_is_told_to_telemetry_once_a_stored_result(play, telemetry):
    play()
    play()  # the same results again
    traces = Path(telemetry.folder) / "traces.jsonl"
    drift = "traces | where message has 'OverallDriftMetrics' or message has 'FeatureDriftMetrics'"
    query = f"{drift} | extend type = tostring(parse_json(message).type) | summarize n = count() by type"
    assert {row["type"]: row["n"] for row in kql(query, traces).to_pylist()} == {
        "OverallDriftMetrics": len(DAYS),
        "FeatureDriftMetrics": len(DAYS),
    }


def figures(telemetry, name: str) -> dict[str, list[float]]:
    """Values of a custom metric, by the day that they are about."""
    wanted = f"customMetrics | where name == 'credit_default/{name}'"
    query = f"{wanted} | project d = tostring(customDimensions.partition), value"
    found: dict[str, list[float]] = {}
    for row in telemetry.query(query):
        found.setdefault(row["d"], []).append(row["value"])
    return found


def test_figures_of_each_day_are_told_as_custom_metrics_once(play, telemetry):
    play()
    play()
    play(job=judge_predictions)
    assert figures(telemetry, "rows_scored") == {day: [100 + int(day[-2:])] for day in DAYS}
    assert figures(telemetry, "mean_pd") == {day: [0.2] for day in DAYS}
    # Of what arrived to be scored, and of the outcomes.
    assert figures(telemetry, "rows_rejected") == {day: [1, 1] for day in DAYS}
    assert figures(telemetry, "roc_auc") == {day: [0.77] for day in DAYS}
    (shared,) = {tuple(values) for values in figures(telemetry, "share_drifted_features").values()}
    assert len(shared) == 1
    features = "customMetrics | where name endswith 'drift_score' | project f = tostring(customDimensions.feature)"
    told = [row["f"] for row in telemetry.query(features)]
    assert len(told) == len(DAYS) * len(set(told))
    assert "" not in told


@pytest.fixture
def entered(storage, monkeypatch) -> list[tuple[str, str]]:
    """What is entered into the data catalogue, for a platform that has one: asset and content."""
    entries = []

    def catalogue(self, name, key, *, version):
        entries.append((name, Path(key).read_text()))
        return version

    monkeypatch.setattr(type(storage), "catalogue", catalogue)
    return entries


def test_the_catalogue_gets_the_table_of_the_very_job_though_another_was_published_since(
    play, curate, entered, storage, monkeypatch
):
    publish = type(storage).publish

    def publish_and_lose_the_race(self, staged, key):
        publish(self, staged, key)
        self.write(key, b"of another run")

    monkeypatch.setattr(type(storage), "publish", publish_and_lose_the_race)
    assert play(only=["inference_data"]).success
    assert entered == [("inference_data", f"table of {day}, edition 1") for day in DAYS]
    entered.clear()
    assert curate().success
    assert entered == [("curated_data", "table of None, edition 1")]


def test_only_the_asked_for_assets_are_made(play, instance):
    assert play(only=["drift_metrics"]).success
    assert list(made(instance, "drift_metrics")) == DAYS
    assert made(instance, "inference_data") == {}
    assert made(instance, "batch_predictions") == {}


def test_outcomes_and_performance_are_made_day_by_day(play, instance):
    result = play(job=judge_predictions, refused={f"performance/{DAYS[3]}": "no predictions"})
    assert not result.success
    assert list(made(instance, "outcomes")) == DAYS
    assert list(made(instance, "model_performance")) == DAYS[:3]


def checks(**failed: str) -> list[dict[str, Any]]:
    """What the step says of each check; `failed` maps names to severities."""
    return [
        {
            "name": name,
            "passed": name not in failed,
            "severity": failed.get(name, "ERROR"),
            "description": f"told about {name}",
            "metadata": {"rows": 2},
        }
        for name in CURATED_CHECKS
    ]


@pytest.fixture
def curate(instance, storage, tmp_path):
    def run(**failed):
        compute = ScriptedCompute(folder=str(tmp_path), checks=checks(**failed))
        return dg.materialize(
            [data.curated_data],
            instance=instance,
            resources={"compute": compute, "storage": storage},
            raise_on_error=False,
        )

    return run


def test_a_failed_error_check_publishes_nothing_and_is_recorded(curate, storage, instance):
    result = curate(ranges="ERROR", duplicates="ERROR")
    assert not result.success
    assert not storage.exists("curated_data")
    assert made(instance, "curated_data") == {}
    outcome = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert outcome == {name: name not in ("ranges", "duplicates") for name in CURATED_CHECKS}
    (event,) = result.get_step_failure_events()
    error = event.step_failure_data.error.cause.message
    assert "QualityError: Nothing was published, because 2 blocking checks failed." in error
    assert "ranges: told about ranges; duplicates: told about duplicates" in error


def test_a_failed_warning_publishes_and_is_recorded(curate, storage, instance):
    result = curate(ranges="WARN")
    assert result.success
    assert storage.exists("curated_data/curated_data.parquet")
    assert len(made(instance, "curated_data")) == 1
    (warned,) = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
    assert (warned.check_name, warned.severity) == ("ranges", dg.AssetCheckSeverity.WARN)


def test_what_was_published_before_stands_when_a_check_fails_later(curate, storage):
    assert curate().success
    before = storage.read("curated_data/curated_data.parquet")
    assert not curate(ranges="ERROR").success
    assert storage.read("curated_data/curated_data.parquet") == before


def test_a_day_that_came_in_makes_another_intent_of_curating(curate, recorded, landing, monkeypatch):
    asked, run = [], ScriptedCompute.run

    def remember(self, context, step, *, versions=(), **given):
        asked.append(tuple(versions))
        return run(self, context, step, versions=versions, **given)

    monkeypatch.setattr(ScriptedCompute, "run", remember)
    curate()
    curate()
    assert len(set(asked)) == 1
    landing.put("clients", folder="landing/curated")
    curate()
    for asset in ("inference_data", "outcomes", "outcomes"):
        recorded.materialised(asset, DAYS[0])
        curate()
    assert len(set(asked)) == 5
