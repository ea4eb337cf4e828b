"""What the Bicep files would make of Azure, held to what the platform reads and promises."""

from __future__ import annotations

import re

import pycep
import pytest

from credit_default import settings
from credit_default.core import lake
from credit_default.errors import SettingsError
from credit_default.settings import azure as azure_settings
from credit_default.settings.azure_compute import Kind
from credit_default_tests.deploy.bicep import BicepError, deploy, deploy_file, symbols
from credit_default_tests.deploy.deployed import (
    ENVIRONMENTS,
    FEDERATED,
    FILES,
    INFRASTRUCTURE,
    deployed,
    environment,
    registry,
    trusted_subjects,
)
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

#: What GitHub says of a repository: `gh api repos/OWNER/NAME --jq .owner.id,.id`.
NUMBERS = {"GITHUB_OWNER_ID": "1001", "GITHUB_REPOSITORY_ID": "2002"}
#: Cores of a family of machines that a new subscription has in a region, dedicated and low-priority each.
DEFAULT_CORES = 24
STORAGE = "Microsoft.Storage/storageAccounts"
CLUSTERS = "Microsoft.MachineLearningServices/workspaces/computes"


VAULT = "Microsoft.KeyVault/vaults"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"


def properties(name: str, kind: str, **changed: object) -> dict:
    """The properties of the one resource of a type, with other parameters than usual if there are any."""
    (found,) = (deployed(name, **changed) if changed else environment(name)).of(kind)
    return found.config["properties"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_parses_and_declares_nothing_that_it_does_not_use(path):
    assert pycep.BicepParser().parse(text=path.read_text("utf-8"))
    declared, used = symbols(path)
    assert declared - used == set()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_outputs_are_the_variables_that_the_platform_reads(name):
    told = environment(name).outputs["settings"]
    assert settings.read(told).environment == name
    found = azure_settings.read(told)
    assert found.targets[Kind.TRAIN].compute == "cpu-cluster"
    with pytest.raises(SettingsError) as without:
        azure_settings.read({})
    required = set(re.findall(r"(\w+) is not set", str(without.value)))
    assert len(required) > 5
    optional = {
        *("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_SPOT_COMPUTE"),
        *("CREDIT_DEFAULT_BATCH_ENDPOINT", "CREDIT_DEFAULT_ONLINE_ENDPOINT", "CREDIT_DEFAULT_ONLINE_IDENTITY"),
        *(f"CREDIT_DEFAULT_KEEP_{what}_DAYS" for what in ("JOBS", "REPORTS", "SUPERSEDED")),
        "AZURE_CLIENT_ID",  # read by azure-identity: which identity of the machine is meant
    }
    assert set(told) == required | optional


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_the_outputs_name_is_what_was_made(name):
    made = {(one.type, one.name) for one in environment(name).resources}
    told = environment(name).outputs["settings"]
    assert (STORAGE, told["AZURE_STORAGE_ACCOUNT"]) in made
    assert (f"{STORAGE}/blobServices/containers", told["AZURE_STORAGE_CONTAINER"]) in made
    assert (WORKSPACE, told["AZURE_ML_WORKSPACE"]) in made
    assert told["CREDIT_DEFAULT_ONLINE_IDENTITY"] in {one.id for one in environment(name).resources}
    clusters = {told["CREDIT_DEFAULT_COMPUTE"], told["CREDIT_DEFAULT_SPOT_COMPUTE"]} - {""}
    assert {one.name for one in environment(name).of(CLUSTERS)} == clusters
    (shared,) = registry().resources
    assert told["AZURE_ML_REGISTRY"] == shared.name


def test_environments_are_identical_but_for_what_they_are_allowed_to_differ_in():
    kinds = {
        name: sorted(
            one.type
            for one in environment(name).resources
            if "registries/" not in one.scope and one.name != "cpu-cluster-spot"
        )
        for name in ENVIRONMENTS
    }
    assert kinds["development"] == kinds["staging"] == kinds["production"]


def test_no_two_environments_share_a_name_that_azure_has_only_once():
    told = [environment(name).outputs["settings"] for name in ENVIRONMENTS]
    for variable in ("AZURE_STORAGE_ACCOUNT", "CREDIT_DEFAULT_BATCH_ENDPOINT", "CREDIT_DEFAULT_ONLINE_ENDPOINT"):
        assert len({one[variable] for one in told}) == len(ENVIRONMENTS), variable
    for kind in (VAULT, "Microsoft.ContainerRegistry/registries"):
        assert len({environment(name).of(kind)[0].name for name in ENVIRONMENTS}) == len(ENVIRONMENTS)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (STORAGE, "[a-z0-9]{3,24}"),
        (VAULT, r"(?=.{3,24}\Z)[a-z](-?[a-z0-9])*"),
        ("Microsoft.ContainerRegistry/registries", "[a-zA-Z0-9]{5,50}"),
        (WORKSPACE, "[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}"),
        (CLUSTERS, r"(?=.{2,16}\Z)[a-z]([a-z0-9-]*[a-z0-9])"),
        ("Microsoft.ManagedIdentity/userAssignedIdentities", "[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}"),
    ],
)
def test_azure_takes_the_names(kind, pattern):
    for name in ENVIRONMENTS:
        found = environment(name).of(kind)
        assert found
        assert all(re.fullmatch(pattern, one.name) for one in found)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nothing_is_reached_by_a_key_but_for_the_one_that_only_adds_telemetry(name):
    account = properties(name, STORAGE)
    assert (account["allowSharedKeyAccess"], account["defaultToOAuthAuthentication"]) == (False, True)
    assert properties(name, "Microsoft.ContainerRegistry/registries")["adminUserEnabled"] is False
    assert properties(name, VAULT)["enableRbacAuthorization"] is True
    assert "accessPolicies" not in properties(name, VAULT)
    assert properties(name, "Microsoft.OperationalInsights/workspaces")["features"]["disableLocalAuth"] is True
    assert properties(name, WORKSPACE)["systemDatastoresAuthMode"] == "Identity"
    for cluster in environment(name).of(CLUSTERS):
        assert cluster.config["properties"]["disableLocalAuth"] is True
        assert cluster.config["properties"]["properties"]["remoteLoginPortPublicAccess"] == "Disabled"
    assert properties(name, "Microsoft.Insights/components")["DisableLocalAuth"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_asks_for_a_key(path):
    text = path.read_text("utf-8")
    assert (
        re.findall(r"list(?:Keys|Secrets|Credentials|\w*Sas|AdminKeys)|getSecret|allowSharedKeyAccess: true", text)
        == []
    )
    for setting in re.findall(r"(?i)(disableLocalAuth: \w+)", text):
        assert setting == "disableLocalAuth: true" or (setting, path.name) == (
            "DisableLocalAuth: false",
            "monitoring.bicep",
        )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_lake_is_private_and_encrypted_on_the_way_and_what_is_deleted_can_be_brought_back(name):
    account = properties(name, STORAGE)
    assert account["allowBlobPublicAccess"] is False
    assert account["supportsHttpsTrafficOnly"] is True
    assert account["minimumTlsVersion"] == "TLS1_2"
    assert account["isHnsEnabled"] is False
    assert properties(name, f"{STORAGE}/blobServices/containers")["publicAccess"] == "None"
    blobs = properties(name, f"{STORAGE}/blobServices")
    for kept in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
        assert blobs[kept] == {"enabled": True, "days": 14}
    vault = properties(name, VAULT)
    assert (vault["enablePurgeProtection"], vault["publicNetworkAccess"]) == (True, "disabled")


def test_what_jobs_left_behind_is_removed_and_nothing_else():
    container = environment("production").outputs["settings"]["AZURE_STORAGE_CONTAINER"]
    policy = properties("production", f"{STORAGE}/managementPolicies")["policy"]
    (rule,) = policy["rules"]
    # Where jobs write, unfinished files among it, and where models wait that are taken from the registry.
    outputs = f"{container}/{lake.job('')}"
    assert rule["definition"]["filters"]["prefixMatch"] == [outputs, f"{container}/taken/"]
    assert outputs.endswith("/jobs/")
    (days,) = rule["definition"]["actions"]["baseBlob"]["delete"].values()
    # Retention of an environment as it is deployed: the rule, the settings that come with it, and the defaults agree.
    deployed = settings.read(environment("production").outputs["settings"])
    usual = settings.read({})
    assert days == deployed.keep_jobs == usual.keep_jobs
    assert (deployed.keep_reports, deployed.keep_superseded) == (usual.keep_reports, usual.keep_superseded)
    # A run may wait and run for as long as the settings allow, and be resumed after it was killed.
    assert days > 2 * 7


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_clusters_cost_nothing_while_there_is_nothing_to_do(name):
    told = environment(name).outputs["settings"]
    for cluster in environment(name).of(CLUSTERS):
        machines = cluster.config["properties"]["properties"]
        assert machines["scaleSettings"]["minNodeCount"] == 0
        assert machines["scaleSettings"]["maxNodeCount"] >= 1
        spot = cluster.name == told["CREDIT_DEFAULT_SPOT_COMPUTE"]
        assert machines["vmPriority"] == ("LowPriority" if spot else "Dedicated")


def test_three_environments_in_one_region_fit_the_quota_of_a_new_subscription():
    clusters = [cluster for name in ENVIRONMENTS for cluster in environment(name).of(CLUSTERS)]
    machines = [cluster.config["properties"]["properties"] for cluster in clusters]
    for priority in ("Dedicated", "LowPriority"):
        cores = [
            one["scaleSettings"]["maxNodeCount"] * int(re.fullmatch(r"Standard_D(\d+)s_v3", one["vmSize"])[1])
            for one in machines
            if one["vmPriority"] == priority
        ]
        assert 0 < sum(cores) <= DEFAULT_CORES, priority


def test_where_azure_ml_asks_for_a_key_the_account_can_be_opened_by_one():
    assert properties("staging", STORAGE, allowSharedKeyAccess=True)["allowSharedKeyAccess"] is True
    assert properties("staging", WORKSPACE, allowSharedKeyAccess=True)["systemDatastoresAuthMode"] == "AccessKey"


def test_the_vault_can_be_opened_to_the_public_network():
    assert properties("staging", VAULT)["networkAcls"] == {"bypass": "AzureServices", "defaultAction": "Deny"}
    opened = properties("staging", VAULT, vaultNetworkAccess="enabled")
    assert (opened["publicNetworkAccess"], opened["networkAcls"]["defaultAction"]) == ("enabled", "Allow")
    with pytest.raises(BicepError, match="vaultNetworkAccess is 'open'; expected allowed"):
        deployed("staging", vaultNetworkAccess="open")


def test_where_there_are_no_acr_tasks_the_cluster_that_is_always_there_builds_images():
    assert properties("staging", WORKSPACE)["imageBuildCompute"] is None
    built = deployed("staging", buildImagesOnCluster=True)
    (workspace,) = built.of(WORKSPACE)
    builder = workspace.config["properties"]["imageBuildCompute"]
    assert {one.name: one.config["properties"]["properties"]["vmPriority"] for one in built.of(CLUSTERS)}[
        builder
    ] == "Dedicated"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_workflows_log_in_as_the_ci_identity_of_their_own_environment_only(name):
    (credential,) = environment(name).of(FEDERATED)
    assert f"-{name}-ci/" in credential.id
    assert credential.config["properties"] == {
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": f"repo:example/credit-default:environment:{name}",
        "audiences": ["api://AzureADTokenExchange"],
    }
    told = environment(name).outputs
    assert set(told["ci"]) == {"AZURE_CLIENT_ID", "AZURE_TENANT_ID"}
    assert told["ci"]["AZURE_CLIENT_ID"] != told["settings"]["AZURE_CLIENT_ID"]


def test_of_a_repository_with_immutable_subjects_the_numbers_are_trusted_and_the_names_alone_are_not():
    assert trusted_subjects("staging", **NUMBERS) == ["repo:example@1001/credit-default@2002:environment:staging"]
    # The same credential, so that a deployment with numbers leaves none behind that trusts the names.
    assert [one.name for one in deployed("staging", NUMBERS).of(FEDERATED)] == [
        one.name for one in environment("staging").of(FEDERATED)
    ]


def test_while_a_repository_moves_to_immutable_subjects_both_forms_are_trusted_one_after_the_other():
    moving = deployed("staging", NUMBERS, githubTrustsNames=True).of(FEDERATED)
    assert [one.config["properties"]["subject"] for one in moving] == [
        "repo:example@1001/credit-default@2002:environment:staging",
        "repo:example/credit-default:environment:staging",
    ]
    text = (INFRASTRUCTURE / "modules" / "identities.bicep").read_text("utf-8")
    assert "dependsOn: [\n    github\n  ]" in text.partition("resource githubNames ")[2].partition("\n}\n")[0]


@pytest.mark.parametrize("missing", NUMBERS)
def test_with_one_number_and_not_the_other_nobody_is_trusted(missing):
    assert trusted_subjects("staging", **{**NUMBERS, missing: ""}) == []


@pytest.mark.parametrize("numbers", [{}, NUMBERS])
def test_without_a_repository_nobody_logs_in_from_github(numbers):
    assert trusted_subjects("development", GITHUB_REPOSITORY="", **numbers) == []


def test_an_environment_of_another_name_and_an_alert_for_nobody_are_refused():
    given = {
        "alertEmail": "on-duty@example.com",
        "registryName": "models",
        "registryResourceGroup": "rg",
        "registryAccess": "none",
    }
    main = INFRASTRUCTURE / "main.bicep"
    with pytest.raises(BicepError, match="environmentName is 'prod'; expected allowed"):
        deploy_file(main, {**given, "environmentName": "prod"}, "rg")
    with pytest.raises(BicepError, match="alertEmail is ''; expected minLength"):
        deploy_file(main, {**given, "environmentName": "staging", "alertEmail": ""}, "rg")
    with pytest.raises(BicepError, match="needs the environment variable ALERT_EMAIL"):
        deploy(INFRASTRUCTURE / "parameters" / "staging.bicepparam", {}, "rg")


@pytest.mark.parametrize("change", ["${nmae}", "accounts.id", "missing()"])
def test_a_slip_of_the_pen_in_a_file_is_found(tmp_path, change):
    written = (
        "param name string\nresource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {\n  name: name\n}\n"
    )
    file = tmp_path / "main.bicep"
    file.write_text(f"{written}output id string = account.id\n")
    assert deploy_file(file, {"name": "st"}, "rg").outputs["id"].endswith("/storageAccounts/st")
    expression = f"'{change}'" if "$" in change else change
    file.write_text(f"{written}output id string = {expression}\n")
    with pytest.raises(BicepError):
        deploy_file(file, {"name": "st"}, "rg")


@pytest.mark.parametrize(("name", "taken"), [("m", False), ("ml", True), ("m" * 32, True), ("m" * 33, False)])
def test_the_registry_has_a_name_that_azure_ml_takes(name, taken):
    file = INFRASTRUCTURE / "registry.bicep"
    if taken:
        assert deploy_file(file, {"registryName": name}, "rg").resources[0].name == name
        assert azure_settings.read({**AZURE_SETTINGS, "AZURE_ML_REGISTRY": name}).registry == name
    else:
        with pytest.raises(BicepError, match="registryName is"):
            deploy_file(file, {"registryName": name}, "rg")
        with pytest.raises(SettingsError, match="AZURE_ML_REGISTRY is"):
            azure_settings.read({**AZURE_SETTINGS, "AZURE_ML_REGISTRY": name})
