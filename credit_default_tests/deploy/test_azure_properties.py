"""Every property that is sent is one that Azure has, with a value that it takes: others are ignored, or refused."""

from __future__ import annotations

import pytest

from credit_default_tests.deploy.azure_properties import MODELS, unknown, wrong
from credit_default_tests.deploy.deployed import deployed, environment, registry

#: Microsoft's libraries for Python have no models of these any more; their properties are named here.
WITHOUT_MODEL = {"Microsoft.Insights/diagnosticSettings": {"workspaceId", "logs"}}
#: With everything that parameters can turn on.
CHANGED = {"buildImagesOnCluster": True, "allowSharedKeyAccess": True, "vaultNetworkAccess": "enabled"}
EVERYTHING = deployed("production", {"STUDIO_GROUP_ID": "00000000-0000-0000-0000-00000000000d"}, **CHANGED)
RESOURCES = [*environment("staging").resources, *EVERYTHING.resources, *registry().resources]


@pytest.mark.parametrize("kind", sorted({one.type for one in RESOURCES}))
def test_azure_knows_every_property(kind):
    found = [one for one in RESOURCES if one.type == kind]
    if kind in WITHOUT_MODEL:
        assert all(set(one.config["properties"]) == WITHOUT_MODEL[kind] for one in found)
        return
    assert [path for one in found for path in unknown(kind, one.config)] == []


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_azure_takes_every_value(kind):
    assert [told for one in RESOURCES if one.type == kind for told in wrong(kind, one.config)] == []


def test_every_model_is_used():
    assert set(MODELS) == {one.type for one in RESOURCES} - WITHOUT_MODEL.keys()


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
    ],
)
def test_a_wrong_value_is_found_in_models_of_either_generation(kind, sent, told):
    found = wrong(kind, sent)
    assert len(found) == len(told)
    assert all(one.startswith(expected) for one, expected in zip(found, told, strict=True)), found
