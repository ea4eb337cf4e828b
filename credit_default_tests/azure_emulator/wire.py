"""Names on the wire, checked against the SDK's own generated models.

Those models accept anything, so that the SDK took an answer says nothing about the answer. They do carry the names of
every field, for the SDK's requests and for our answers alike.
"""

import importlib
import typing
from functools import cache
from types import ModuleType, UnionType
from typing import Any

_RESTCLIENT = "azure.ai.ml._restclient"
_DEFAULT = "arm_ml_service"
#: Fields that the SDK sends on purpose though its newest models lack them, and their models (`SweepJob._to_rest_object`
#: and `_begin_create_or_update_model_with_system_metadata` say so; the latter's is null for models such as ours).
_SENT_ALL_THE_SAME: dict[str, dict[str, str | None]] = {
    "SweepJob": {"resources": "JobResourceConfiguration"},
    "ModelVersionProperties": {"system_metadata": None},
}


def unknown_names(model: str, body: Any) -> list[str]:
    """Return the path of every key in `body` that the model does not have.

    Parameters
    ----------
    model
        A generated model, ``JobBase``, or one of another client than Resource Manager's: ``runhistory.RunDetails``.
        ``JobBase[]`` is a page of them.
    body
        Parsed JSON.
    """
    if model.endswith("[]"):
        items = [name for item in body["value"] for name in unknown_names(model.removesuffix("[]"), item)]
        return sorted(body.keys() - {"value", "nextLink"}) + items
    return list(_unknown(_model(model), body, ""))


def load() -> None:
    """Import the generated models, which takes seconds."""
    _models(_DEFAULT)


@cache
def _models(client: str) -> ModuleType:
    return importlib.import_module(f"{_RESTCLIENT}.{client}.models")


@cache
def _model(name: str) -> type:
    client, _, model = name.rpartition(".")
    return getattr(_models(client or _DEFAULT), model)


def _unknown(expected: Any, value: Any, path: str) -> typing.Iterator[str]:
    """Walk a value beside its type."""
    if isinstance(value, list):
        item = next(iter(_arguments(expected, list)), Any)
        for index, element in enumerate(value):
            yield from _unknown(item, element, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    model = next((kind for kind in _alternatives(expected) if getattr(kind, "_is_model", False)), None)
    if model is None:
        item = next(iter(_arguments(expected, dict)[1:]), Any)
        for key, element in value.items():
            yield from _unknown(item, element, f"{path}.{key}")
        return
    fields = _fields(_actual(model, value))
    for key, element in value.items():
        here = f"{path}.{key}" if path else key
        if key in fields:
            yield from _unknown(fields[key], element, here)
        else:
            yield here


def _alternatives(expected: Any) -> tuple[Any, ...]:
    if typing.get_origin(expected) in (typing.Union, UnionType):
        return typing.get_args(expected)
    return (expected,)


def _arguments(expected: Any, container: type) -> tuple[Any, ...]:
    """Return what a ``list[...]`` or ``dict[...]`` among the alternatives holds."""
    for kind in _alternatives(expected):
        if typing.get_origin(kind) is container:
            return typing.get_args(kind)
    return ()


@cache
def _fields(model: type) -> dict[str, Any]:
    """Return the type of each field of a model, by its name on the wire."""
    package = importlib.import_module(model.__module__.rpartition(".")[0])
    hints = typing.get_type_hints(model, localns={"_models": package, "_types": package})
    declared = {name: field for kind in reversed(model.__mro__) for name, field in vars(kind).items()}
    lost = {name: _model(kind) if kind else Any for name, kind in _SENT_ALL_THE_SAME.get(model.__name__, {}).items()}
    return lost | {
        field._rest_name_input or name: hints.get(name, Any)
        for name, field in declared.items()
        if hasattr(field, "_rest_name_input")
    }


def _actual(model: type, value: dict[str, Any]) -> type:
    """Follow the discriminators from a base model to the one that the value is of."""
    while True:
        kinds = getattr(model, "__mapping__", {})
        names = [
            field._rest_name_input or name
            for name, field in vars(model).items()
            if getattr(field, "_is_discriminator", False)
        ]
        kind = next((kinds[value[name]] for name in names if value.get(name) in kinds), model)
        if kind is model:
            return model
        model = kind
