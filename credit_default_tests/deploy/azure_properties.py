"""Which properties a resource of Azure has, by the models of Microsoft's own libraries.

They come in two generations, of which neither refuses an unknown property by itself. Versions of the API differ from
ours in places: what is compared is names, which Azure keeps from one version to the next.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Type of a resource to the library and the model by which it is made.
MODELS = {
    "Microsoft.Authorization/roleAssignments": ("azure.mgmt.authorization", "RoleAssignmentCreateParameters"),
    "Microsoft.ContainerRegistry/registries": ("azure.mgmt.containerregistry", "Registry"),
    "Microsoft.Insights/actionGroups": ("azure.mgmt.monitor", "ActionGroupResource"),
    "Microsoft.Insights/components": ("azure.mgmt.applicationinsights", "ApplicationInsightsComponent"),
    "Microsoft.Insights/scheduledQueryRules": ("azure.mgmt.monitor", "ScheduledQueryRuleResource"),
    "Microsoft.Insights/workbooks": ("azure.mgmt.applicationinsights", "Workbook"),
    "Microsoft.KeyVault/vaults": ("azure.mgmt.keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.MachineLearningServices/registries": ("azure.ai.ml._restclient.arm_ml_service", "Registry"),
    "Microsoft.MachineLearningServices/workspaces": ("azure.ai.ml._restclient.arm_ml_service", "Workspace"),
    "Microsoft.MachineLearningServices/workspaces/computes": (
        "azure.ai.ml._restclient.arm_ml_service",
        "ComputeResource",
    ),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azure.mgmt.msi", "Identity"),
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": (
        "azure.mgmt.msi",
        "FederatedIdentityCredential",
    ),
    "Microsoft.OperationalInsights/workspaces": ("azure.mgmt.loganalytics", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("azure.mgmt.storage", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("azure.mgmt.storage", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("azure.mgmt.storage", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("azure.mgmt.storage", "ManagementPolicy"),
}
#: What every resource has, wherever the models keep it.
_OF_ALL = {"name", "location", "tags", "kind"}


def unknown(kind: str, config: Mapping[str, Any]) -> list[str]:
    """Return the paths of properties that a resource of this type does not have."""
    library, model = MODELS[kind]
    models = importlib.import_module(f"{library}.models")
    sent = {name: value for name, value in config.items() if name not in _OF_ALL}
    return list(_unknown(getattr(models, model), sent, models, ""))


def _unknown(model: Any, value: Any, models: Any, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _unknown(model, item, models, f"{where}[]")
    elif isinstance(value, Mapping) and (known := _properties(model, value, models)) is not None:
        for name, inner in value.items():
            path = f"{where}.{name}".lstrip(".")
            if name not in known:
                yield path
            else:
                yield from _unknown(known[name], inner, models, path)


def _properties(model: Any, value: Mapping[str, Any], models: Any) -> dict[str, Any] | None:
    """Return what each property of a model is made by: a model, a dictionary of such, or None for anything.

    None instead of all of them when any name will do.
    """
    if isinstance(model, dict):
        return model
    if hasattr(model, "_attribute_map"):
        return _of_first_generation(model, models)
    if not hasattr(model, "__annotations__") or not hasattr(model, "_deserialize"):
        return None
    # One property says which of its kinds it is.
    kinds = getattr(model, "__mapping__", {})
    model = next((kinds[one] for one in value.values() if isinstance(one, str) and one in kinds), model)
    model({})  # works out its fields
    hints = {
        name: hint for base in reversed(model.__mro__) for name, hint in getattr(base, "__annotations__", {}).items()
    }
    return {field._rest_name: _named(str(hints[name]), models) for name, field in model._attr_to_rest_field.items()}


def _of_first_generation(model: Any, models: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in model._attribute_map.values():
        # The name of a property may hold a full stop; one that parts two levels has no backslash before it.
        *above, last = re.split(r"(?<!\\)\.", entry["key"])
        level = found
        for name in above:
            level = level.setdefault(name, {})
        level[last] = None if entry["type"].startswith("{") else getattr(models, entry["type"].strip("[]"), None)
    return found


def _named(hint: str, models: Any) -> Any:
    """Return the model that a type names, unless it is one of names to such."""
    named = re.search(r"_models\.(\w+)", hint)
    return getattr(models, named[1], None) if named and "dict[" not in hint.lower() else None
