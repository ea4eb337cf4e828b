"""Which properties a resource of Azure has, and of which values, by the models of Microsoft's own libraries.

They come in two generations, of which neither refuses an unknown property or a wrong value by itself. Versions of the
API differ from ours in places: what is compared is names, kinds of values, enumerations and limits (which only the
older generation has); Azure keeps them from one version to the next.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
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
_OF_ALL = {"name", "location", "tags"}


#: Limits of the older generation: whether a value keeps them.
_LIMITS = {
    "pattern": lambda value, limit: re.search(limit, value) is not None,
    "max_length": lambda value, limit: len(value) <= limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "maximum": lambda value, limit: value <= limit,
    "minimum": lambda value, limit: value >= limit,
}
#: Words of either generation for kinds of values.
_KINDS: dict[str, Any] = {"bool": bool, "int": int, "float": (int, float), "str": str}
_DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?")


@dataclass(frozen=True)
class Property:
    """What a property takes.

    Attributes
    ----------
    made_by
        The model of its value, a dictionary of properties, or None for anything.
    kind
        Its type as the library writes it: ``typing.Optional[bool]``, ``[str]``.
    limits
        ``required``, ``readonly``, ``pattern``, ``max_length``, ``minimum`` and so on.
    """

    made_by: Any = None
    kind: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)


def unknown(kind: str, config: Mapping[str, Any]) -> list[str]:
    """Return the paths of properties that a resource of this type does not have."""
    return [path for path, known, _, _ in _visited(kind, config) if known is None]


def wrong(kind: str, config: Mapping[str, Any]) -> list[str]:
    """Return the values that a resource of this type does not take: what was got, and what was expected."""
    return [
        f"{path} is {value!r}; expected {expected}"
        for path, known, value, models in _visited(kind, config)
        if known is not None and value is not None and (expected := _expected(known, value, models))
    ]


def _visited(kind: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Property | None, Any, Any]]:
    library, model = MODELS[kind]
    models = importlib.import_module(f"{library}.models")
    sent = {name: value for name, value in config.items() if name not in _OF_ALL}
    for path, known, value in _walk(getattr(models, model), sent, models, ""):
        yield path, known, value, models


def _walk(model: Any, value: Any, models: Any, where: str) -> Iterator[tuple[str, Property | None, Any]]:
    """Yield each property with its path: what it takes, or None where there is no such property, and its value."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(model, item, models, f"{where}[]")
    elif isinstance(value, Mapping) and (known := _properties(model, value, models)) is not None:
        for name, inner in value.items():
            path = f"{where}.{name}".lstrip(".")
            yield path, known.get(name), inner
            if name in known:
                yield from _walk(known[name].made_by, inner, models, path)


def _expected(known: Property, value: Any, models: Any) -> str:
    """Return what a property takes when it does not take this value; nothing when it does."""
    if known.limits.get("readonly"):
        return "nothing: it is for reading only"
    for limit, holds in _LIMITS.items():
        if limit in known.limits and isinstance(value, str | int) and not holds(value, known.limits[limit]):
            return f"{limit} {known.limits[limit]}"
    enumeration = _named(known.kind, models)
    if isinstance(enumeration, type) and issubclass(enumeration, Enum):
        values = [one.value for one in enumeration]
        taken = ", ".join(sorted(map(str, values)))
        return "" if all(one in values for one in _items(value)) else f"one of {taken}"
    return _expected_kind(known.kind, value)


def _expected_kind(kind: str, value: Any) -> str:
    """Return the kind of value that is taken when this is of another; nothing when it is not."""
    if re.match(r"\[|.*(?:list|List)\[", kind):
        return "" if isinstance(value, list) else "a list"
    if re.search(r"\bduration\b|\btimedelta\b", kind) and not _DURATION.fullmatch(str(value)):
        return "a duration such as PT5M or P1D"
    for word, types in _KINDS.items():
        if re.search(rf"\b{word}\b", kind) and not re.search(r"[{]|[dD]ict|Any", kind):
            fits = isinstance(value, types) and (isinstance(value, bool) == (types is bool))
            return "" if fits else word
    return ""


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _properties(model: Any, value: Mapping[str, Any], models: Any) -> dict[str, Property] | None:
    """Return what each property of a model takes; None instead of all of them when any name will do."""
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
    return {
        field._rest_name: Property(_model_of(str(hints[name]), models), str(hints[name]))
        for name, field in model._attr_to_rest_field.items()
    }


def _of_first_generation(model: Any, models: Any) -> dict[str, Property]:
    found: dict[str, Property] = {}
    for attribute, entry in model._attribute_map.items():
        # The name of a property may hold a full stop; one that parts two levels has no backslash before it.
        *above, last = re.split(r"(?<!\\)\.", entry["key"])
        level = found
        for name in above:
            level = level.setdefault(name, Property({})).made_by
        kind = entry["type"]
        made_by = None if kind.startswith("{") else getattr(models, kind.strip("[]"), None)
        # Which text a property takes is said where the model is made, and only there.
        hint = str(model.__init__.__annotations__.get(attribute, ""))
        enumeration = _named(hint, models)
        if isinstance(enumeration, type) and issubclass(enumeration, Enum):
            kind = hint
        level[last] = Property(made_by, kind, getattr(model, "_validation", {}).get(attribute, {}))
    return found


def _model_of(hint: str, models: Any) -> Any:
    """Return the model that a type names, unless it is one of names to such, or an enumeration."""
    named = None if "dict[" in hint.lower() else _named(hint, models)
    return None if isinstance(named, type) and issubclass(named, Enum) else named


def _named(hint: str, models: Any) -> Any:
    named = re.search(r"_models\.(\w+)", hint)
    return getattr(models, named[1], None) if named else None
