"""Every property that is sent is one that Azure has, with a value that it takes: others are ignored, or refused."""

from __future__ import annotations

import re
from datetime import date

import pytest

from credit_default_tests.deploy.azure_properties import MODELS, unknown, wrong
from credit_default_tests.deploy.deployed import FILES, deployed, environment, registry

#: Microsoft's libraries for Python have no model of these any more.
AUDITS = "Microsoft.Insights/diagnosticSettings"
#: Kinds of logs, by the type of what has them. Source: Azure Monitor's reference of supported logs.
LOGS = {
    "blobServices": {"StorageRead", "StorageWrite", "StorageDelete"},
    "vaults": {"AuditEvent", "AzurePolicyEvaluationDetails"},
}
#: With everything that parameters can turn on.
CHANGED = {"buildImagesOnCluster": True, "allowSharedKeyAccess": True, "vaultNetworkAccess": "enabled"}
EVERYTHING = deployed("production", {"STUDIO_GROUP_ID": "00000000-0000-0000-0000-00000000000d"}, **CHANGED)
RESOURCES = [*environment("staging").resources, *EVERYTHING.resources, *registry().resources]


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_azure_knows_every_property(kind):
    found = [one for one in RESOURCES if one.type == kind]
    assert [path for one in found for path in unknown(kind, one.config)] == []


def test_what_is_logged_is_of_kinds_that_azure_has():
    audits = [one for one in RESOURCES if one.type == AUDITS]
    assert {one.scope.split("/")[-2] for one in audits} == set(LOGS)
    for audit in audits:
        assert set(audit.config["properties"]) == {"workspaceId", "logs"}
        for log in audit.config["properties"]["logs"]:
            assert log == {"category": log["category"], "enabled": True}
            assert log["category"] in LOGS[audit.scope.split("/")[-2]]


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_azure_takes_every_value(kind):
    assert [told for one in RESOURCES if one.type == kind for told in wrong(kind, one.config)] == []


def test_each_type_has_one_version_of_its_api_which_is_a_day_that_has_passed():
    """Whether Azure has that version, only Bicep's compiler knows."""
    declared = [re.findall(r"^resource \w+ '(.+)@(.+?)'", path.read_text("utf-8"), re.MULTILINE) for path in FILES]
    versions: dict[str, set[str]] = {}
    for kind, version in (one for file in declared for one in file):
        versions.setdefault(kind, set()).add(version)
        assert date.fromisoformat(version.removesuffix("-preview")) <= date.today(), kind  # noqa: DTZ011
    assert {one.type for one in RESOURCES} <= versions.keys()
    assert {kind: found for kind, found in versions.items() if len(found) > 1} == {}


def test_every_model_is_used():
    assert {*MODELS, AUDITS} == {one.type for one in RESOURCES}


@pytest.mark.parametrize(
    ("kind", "sent", "wrong"),
    [
        (
            "Microsoft.Storage/storageAccounts",
            {"sku": {"nam": ""}, "properties": {"allowSharedKeysAccess": False}},
            ["sku.nam", "properties.allowSharedKeysAccess"],
        ),
        (
            "Microsoft.MachineLearningServices/workspaces/computes",
            {"properties": {"computeType": "AmlCompute", "properties": {"scaleSettings": {"minNodes": 0}}}},
            ["properties.properties.scaleSettings.minNodes"],
        ),
        (
            "Microsoft.Insights/scheduledQueryRules",
            {"properties": {"criteria": {"allOf": [{"querry": ""}]}}},
            ["properties.criteria.allOf[].querry"],
        ),
    ],
)
def test_a_misspelt_property_is_found_in_models_of_either_generation(kind, sent, wrong):
    assert unknown(kind, sent) == wrong


@pytest.mark.parametrize(
    ("kind", "sent", "told"),
    [
        (
            "Microsoft.Storage/storageAccounts",
            {"sku": {"name": "Standard_XRS"}, "properties": {"allowSharedKeyAccess": "no"}},
            ["sku.name is 'Standard_XRS'; expected one of ", "properties.allowSharedKeyAccess is 'no'; expected bool"],
        ),
        (
            "Microsoft.MachineLearningServices/workspaces",
            {"properties": {"systemDatastoresAuthMode": "keys", "imageBuildCompute": True}},
            [
                "properties.systemDatastoresAuthMode is 'keys'; expected one of AccessKey, Identity, ",
                "properties.imageBuildCompute is True; expected str",
            ],
        ),
        (
            "Microsoft.Insights/actionGroups",
            {"properties": {"groupShortName": "longer than twelve", "enabled": 1}},
            [
                "properties.groupShortName is 'longer than twelve'; expected max_length 12",
                "properties.enabled is 1; expected bool",
            ],
        ),
        (
            "Microsoft.Insights/scheduledQueryRules",
            {
                "kind": "LogAlerts",
                "properties": {
                    "evaluationFrequency": "P1H",
                    "windowSize": "PT1H",
                    "criteria": {"allOf": [{"operator": "Greater"}]},
                },
            },
            [
                "kind is 'LogAlerts'; expected one of LogAlert, ",
                "properties.evaluationFrequency is 'P1H'; expected a duration",
                "properties.criteria.allOf[].operator is 'Greater'; expected one of Equals, GreaterThan, ",
            ],
        ),
        (
            "Microsoft.MachineLearningServices/workspaces/computes",
            {
                "properties": {
                    "computeType": "AmlCompute",
                    "properties": {"scaleSettings": {"nodeIdleTimeBeforeScaleDown": "2M"}},
                }
            },
            ["properties.properties.scaleSettings.nodeIdleTimeBeforeScaleDown is '2M'; expected a duration"],
        ),
    ],
)
def test_a_wrong_value_is_found_in_models_of_either_generation(kind, sent, told):
    found = wrong(kind, sent)
    assert len(found) == len(told)
    assert all(one.startswith(expected) for one, expected in zip(found, told, strict=True)), found
