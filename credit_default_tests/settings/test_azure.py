"""Settings of an Azure environment: read together, and everything that is wrong with them is said at once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from credit_default.errors import SettingsError
from credit_default.settings.azure import read
from credit_default.settings.azure_compute import Kind, Target, kind_of
from credit_default_tests.settings_of_azure import AZURE_SETTINGS


def given(**changed: str | None) -> dict[str, str]:
    return {name: value for name, value in {**AZURE_SETTINGS, **changed}.items() if value is not None}


def refused(**changed: str | None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(given(**changed))
    return str(caught.value)


def test_the_least_that_has_to_be_set_is_enough():
    settings = read(AZURE_SETTINGS)
    assert settings.workspace == "ws-credit-default-dev"
    assert settings.targets == dict.fromkeys(Kind, Target(compute="cpu-cluster"))
    assert (settings.poll_seconds, settings.queue_limit, settings.run_limit) == (10, 7200, 14400)
    assert (settings.unreachable_limit, settings.not_responding_limit, settings.paused_limit) == (900, 1800, 1800)
    assert (settings.upload_limit, settings.spot_attempts) == (600, 2)
    assert (settings.batch_endpoint, settings.online_endpoint) == ("credit-card-default-be", "credit-card-default-oe")
    assert (settings.online_instance_type, settings.online_instance_count) == ("Standard_DS3_v2", 1)


def test_every_variable_that_is_missing_is_named_at_once_with_what_it_is_for():
    with pytest.raises(SettingsError) as caught:
        read({})
    told = str(caught.value)
    assert told.startswith("8 settings of this Azure environment are missing")
    for name in AZURE_SETTINGS:
        (line,) = [line for line in told.splitlines() if line.startswith(f"- {name} is not set; expected ")]
        assert line.endswith(").")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_is_an_unset_one(blank):
    assert "AZURE_STORAGE_ACCOUNT is not set" in refused(AZURE_STORAGE_ACCOUNT=blank)
    assert read(given(CREDIT_DEFAULT_POLL_SECONDS=blank)).poll_seconds == 10


WRONG = {
    "AZURE_SUBSCRIPTION_ID": ["not-a-guid", "00000000-0000-0000-0000-00000000000"],
    "AZURE_RESOURCE_GROUP": ["ends with.", "r" * 91, "a/b", "dot."],
    "AZURE_ML_WORKSPACE": ["ab", "-first", "w" * 34, "a b c"],
    "AZURE_ML_REGISTRY": ["a", "r" * 33, "_first"],
    "AZURE_STORAGE_ACCOUNT": ["ab", "Upper1", "with-hyphen", "a" * 25],
    "AZURE_STORAGE_CONTAINER": ["ab", "Upper", "two--hyphens", "-first", "last-", "a" * 64],
    "CREDIT_DEFAULT_POLL_SECONDS": ["0", "-1", "soon", "nan", "inf", "1e9"],
    "CREDIT_DEFAULT_UPLOAD_LIMIT": ["0"],
    "CREDIT_DEFAULT_SPOT_ATTEMPTS": ["-1", "1.5", "21"],
    "CREDIT_DEFAULT_ONLINE_ENDPOINT": ["ab", "-online", "online_endpoint", "x" * 33],
    "CREDIT_DEFAULT_ONLINE_IDENTITY": ["online", "/subscriptions/a/resourceGroups/g", "b" * 36],
    "CREDIT_DEFAULT_ONLINE_INSTANCE_TYPE": ["DS3 v2", "-Standard", "ab"],
    "CREDIT_DEFAULT_ONLINE_INSTANCE_COUNT": ["0", "-1", "many", "51"],
    "CREDIT_DEFAULT_COMPUTE": ["-first", "last-", "under_score", "c" * 33],
    "CREDIT_DEFAULT_COMPUTE_TRAIN": ["a b"],
    "CREDIT_DEFAULT_SPOT_COMPUTE": ["a b"],
    "CREDIT_DEFAULT_INSTANCE_COUNT": ["0", "101", "two", "1.5", "²"],
    "CREDIT_DEFAULT_INSTANCE_TYPE": ["Standard D4"],
    "CREDIT_DEFAULT_SPOT": ["perhaps"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_is_malformed_is_told_with_what_was_got_and_what_was_expected(name, value):
    told = refused(**{name: value})
    assert told.startswith("1 setting of this Azure environment is missing")
    assert f"{name} is {value!r}; expected " in told


@pytest.mark.parametrize("length", [2, 32])
def test_a_registry_may_have_the_shortest_and_the_longest_name_that_azure_takes(length):
    assert read(given(AZURE_ML_REGISTRY="r" * length)).registry == "r" * length


def test_all_that_is_wrong_is_said_at_once():
    wrong = {name: values[0] for name, values in WRONG.items()}
    told = refused(**wrong)
    assert all(f"- {name} is {value!r}" in told for name, value in wrong.items())
    assert told.startswith(f"{len(wrong)} settings")


@pytest.mark.parametrize("secret", ["a-secret", "InstrumentationKey=a-secret;IngestionEndpoint=https://x.example"])
def test_a_connection_string_is_never_quoted(secret):
    told = refused(APPLICATIONINSIGHTS_CONNECTION_STRING=secret)
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING is malformed" in told
    assert "a-secret" not in told
    settings = read(AZURE_SETTINGS)
    assert "00000000000c" not in f"{settings!r} {settings}"


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        read(AZURE_SETTINGS).account = "other"


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("train", Kind.TRAIN),
        *((step, Kind.DRIFT) for step in ("drift", "data_quality_report", "performance")),
        *((step, Kind.SCORE) for step in ("comparison", "curated_data", "inference_data", "outcomes")),
        *((step, Kind.SCORE) for step in ("prepared_data", "score", "smoke_test")),
    ],
)
def test_each_step_is_of_a_kind(step, kind):
    assert kind_of(step) is kind


def test_an_unknown_step_gets_no_environment_of_others():
    with pytest.raises(ValueError, match="'drfit' is no step with a kind; expected one of train, comparison, "):
        kind_of("drfit")


def test_what_is_said_about_one_kind_wins():
    targets = read(
        given(
            CREDIT_DEFAULT_COMPUTE_TRAIN="big-cluster",
            CREDIT_DEFAULT_SPOT_COMPUTE="spot",
            CREDIT_DEFAULT_SPOT_COMPUTE_DRIFT="drift-spot",
            CREDIT_DEFAULT_INSTANCE_COUNT="2",
            CREDIT_DEFAULT_INSTANCE_COUNT_TRAIN="4",
        )
    ).targets
    assert targets[Kind.TRAIN] == Target(compute="big-cluster", spot_compute="spot", instance_count=4)
    assert targets[Kind.SCORE] == Target(compute="cpu-cluster", spot_compute="spot")
    assert targets[Kind.DRIFT] == Target(compute="cpu-cluster", spot_compute="drift-spot")


@pytest.mark.parametrize("kind", [Kind.SCORE, Kind.DRIFT])
def test_a_count_for_steps_that_are_one_process_is_refused(kind):
    told = refused(**{f"CREDIT_DEFAULT_INSTANCE_COUNT_{kind.name}": "2"})
    assert f"CREDIT_DEFAULT_INSTANCE_COUNT_{kind.name} is '2'; expected it to be unset" in told


def test_every_kind_may_have_a_compute_of_its_own_and_one_that_lacks_it_is_named():
    each = {f"CREDIT_DEFAULT_COMPUTE_{kind.name}": f"{kind}-cluster" for kind in Kind}
    targets = read(given(CREDIT_DEFAULT_COMPUTE=None, **each)).targets
    assert {target.compute for target in targets.values()} == {"train-cluster", "score-cluster", "drift-cluster"}
    told = refused(CREDIT_DEFAULT_COMPUTE=None, CREDIT_DEFAULT_COMPUTE_TRAIN="a", CREDIT_DEFAULT_COMPUTE_DRIFT="b")
    assert "- CREDIT_DEFAULT_COMPUTE_SCORE is not set" in told


def test_a_serverless_kind_has_machines_and_a_cluster_has_its_own():
    serverless = {"CREDIT_DEFAULT_COMPUTE_TRAIN": "serverless"}
    more = {"CREDIT_DEFAULT_INSTANCE_TYPE": "Standard_D4s_v3", "CREDIT_DEFAULT_SPOT": "yes"}
    targets = read(given(**serverless, **more)).targets
    assert targets[Kind.TRAIN] == Target(compute="serverless", instance_type="Standard_D4s_v3", spot=True)
    # What is said about all is for those that it fits.
    assert targets[Kind.SCORE] == Target(compute="cpu-cluster")
    told = refused(CREDIT_DEFAULT_SPOT_TRAIN="yes", CREDIT_DEFAULT_INSTANCE_TYPE_DRIFT="Standard_D4s_v3")
    assert "CREDIT_DEFAULT_SPOT_TRAIN is 'yes'; expected CREDIT_DEFAULT_COMPUTE_TRAIN to be serverless" in told
    assert "CREDIT_DEFAULT_INSTANCE_TYPE_DRIFT" in told
