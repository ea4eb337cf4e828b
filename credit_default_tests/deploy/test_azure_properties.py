"""Every property that is sent is one that Azure has: an unknown one would be ignored in silence, or refused."""

from __future__ import annotations

import pytest

from credit_default_tests.deploy.azure_properties import MODELS, unknown
from credit_default_tests.deploy.deployed import environment, registry

#: Microsoft's libraries for Python have no models of these any more; their properties are named here.
WITHOUT_MODEL = {"Microsoft.Insights/diagnosticSettings": {"workspaceId", "logs"}}
RESOURCES = [*environment("staging").resources, *registry().resources]


@pytest.mark.parametrize("kind", sorted({one.type for one in RESOURCES}))
def test_azure_knows_every_property(kind):
    found = [one for one in RESOURCES if one.type == kind]
    if kind in WITHOUT_MODEL:
        assert all(set(one.config["properties"]) == WITHOUT_MODEL[kind] for one in found)
        return
    assert [path for one in found for path in unknown(kind, one.config)] == []


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
