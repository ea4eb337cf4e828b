"""What a Bicep deployment would ask of Azure, worked out on this machine: as much of the language as our files use.

Bicep's own compiler comes from nowhere that the tests may download from. This reads the files with the published
tree-sitter grammar and evaluates them, and refuses what the compiler would refuse: unknown symbols, parameters that are
missing, unknown or of the wrong type, values that are not allowed. What only Azure knows (ids of principals, a
connection string) is made up, the same each time.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter
import tree_sitter_bicep

from credit_default_tests.deploy.bicep_expressions import BicepError, Evaluator, parts, text

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
SUBSCRIPTION = {
    "id": "/subscriptions/00000000-0000-0000-0000-00000000000a",
    "subscriptionId": "00000000-0000-0000-0000-00000000000a",
    "tenantId": "00000000-0000-0000-0000-00000000000b",
}
_TYPES = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}


@dataclass(frozen=True)
class Resource:
    """One resource of a deployment.

    `scope` is the id of what it extends, or of its resource group; `config` is everything that Azure is sent.
    """

    symbol: str
    type: str
    api_version: str
    name: str
    id: str
    scope: str
    config: Mapping[str, Any]


@dataclass
class Deployment:
    """What one file, with its modules, deploys, in the order of the files; outputs by name."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Resource]:
        """Return the resources of a type."""
        return [one for one in self.resources if one.type == kind]


def deploy(parameter_file: Path, environ: Mapping[str, str], group: str, **changed: Any) -> Deployment:
    """Work out what ``az deployment group create --parameters <file> name=value`` asks for in a resource group."""
    # The grammar knows parameters that are declared, and takes those that are given for a mistake.
    written = re.sub(r"^param (\w+) =", r"var \1 =", parameter_file.read_text("utf-8"), flags=re.MULTILINE)
    root = _parsed(written, parameter_file)
    scope = _Scope(parameter_file, group, environ=environ)
    given = {name: scope.value(node) for name, node in _declared(root, "variable_declaration").items()}
    (using,) = (node for node in root.named_children if node.type == "using_statement")
    return deploy_file(parameter_file.parent / scope.value(using.named_children[0]), {**given, **changed}, group)


def deploy_file(path: Path, parameters: Mapping[str, Any], group: str) -> Deployment:
    """Work out what one file asks for."""
    found = Deployment()
    scope = _Scope(path, group, deployment=found)
    root = _parsed(path.read_text("utf-8"), path)
    scope.declare(root, parameters)
    for name, node in _declared(root, "output_declaration").items():
        found.outputs[name] = scope.value(node)
    return found


def symbols(path: Path) -> tuple[set[str], set[str]]:
    """Return the parameters and variables that a file declares, and every symbol that its expressions use."""
    root = _parsed(path.read_text("utf-8"), path)
    declared = {*_declared(root, "parameter_declaration"), *_declared(root, "variable_declaration")}
    used = set()
    for statement in root.named_children:
        name = next((child for child in statement.named_children if child.type == "identifier"), None)
        used |= {text(node) for node in _walk(statement) if node.type == "identifier" and node != name}
    return declared, used


def _walk(node: Any) -> Iterator[Any]:
    """Yield the nodes below one; a property's name is no symbol."""
    children = list(node.named_children)
    if node.type == "object_property" and children[0].type == "identifier":
        children = children[1:]
    for child in children:
        yield child
        yield from _walk(child)


def _parsed(written: str, path: Path) -> Any:
    root = PARSER.parse(written.encode()).root_node
    if root.has_error:
        raise BicepError(f"{path.name} does not parse")
    return root


def _declared(root: Any, kind: str) -> dict[str, Any]:
    """Return what a file declares of a kind: name to its value, or to None where there is none."""
    found = {}
    for node in root.named_children:
        if node.type == kind:
            name, *rest = [child for child in parts(node) if child.type != "type"]
            found[text(name)] = rest[-1] if rest else None
    return found


class _Scope:
    """The symbols of one file, each evaluated when it is first asked for."""

    def __init__(
        self,
        path: Path,
        group: str,
        *,
        environ: Mapping[str, str] | None = None,
        deployment: Deployment | None = None,
    ) -> None:
        self._path = path
        self._group = group
        self._environ = environ or {}
        self._deployment = deployment or Deployment()
        self._thunks: dict[str, Callable[[], Any]] = {}
        self._values: dict[str, Any] = {}
        self.value = Evaluator(self).value

    @property
    def group_id(self) -> str:
        return f"{SUBSCRIPTION['id']}/resourceGroups/{self._group}"

    def declare(self, root: Any, parameters: Mapping[str, Any]) -> None:
        """Take in every symbol, and carry out resources and modules."""
        wanted = _declared(root, "parameter_declaration")
        if unknown := parameters.keys() - wanted.keys():
            raise BicepError(f"{self._path.name} has no parameter {', '.join(sorted(unknown))}")
        for name, default in wanted.items():
            if name not in parameters and default is None:
                raise BicepError(f"{self._path.name} needs the parameter {name}")
            self._values |= {name: parameters[name]} if name in parameters else {}
            self._thunks[name] = lambda default=default: self.value(default)
        for name, node in _declared(root, "variable_declaration").items():
            self._thunks[name] = lambda node=node: self.value(node)
        actions = []
        for node in root.named_children:
            if node.type in ("resource_declaration", "module_declaration"):
                name = text(parts(node)[0])
                make = self._resources if node.type == "resource_declaration" else self._module
                self._thunks[name] = lambda make=make, node=node: make(node)
                actions.append(name)
        self._check_parameters(root)
        for name in actions:
            self.symbol(name)

    def symbol(self, name: str) -> Any:
        if name not in self._values:
            if name not in self._thunks:
                raise BicepError(f"{self._path.name} does not know {name}")
            self._values[name] = self._thunks[name]()
        return self._values[name]

    def _check_parameters(self, root: Any) -> None:
        decorators: list[Any] = []
        for node in root.named_children:
            if node.type == "parameter_declaration":
                name, kind = (text(part) for part in parts(node)[:2])
                value = self.symbol(name)
                if type(value) is not _TYPES[kind]:
                    raise BicepError(f"{self._path.name}: {name} is {value!r}; expected {kind}")
                for decorator in decorators:
                    self._check(decorator, name, value)
            decorators = parts(node) if node.type == "decorators" else []

    def _check(self, decorator: Any, name: str, value: Any) -> None:
        rule, argument = parts(parts(decorator)[0])
        limit = self.value(parts(argument)[0])
        holds = {
            "allowed": lambda: set(value) <= set(limit) if isinstance(value, list) else value in limit,
            "description": lambda: True,
            "minLength": lambda: len(value) >= limit,
            "maxLength": lambda: len(value) <= limit,
            "minValue": lambda: value >= limit,
        }
        if not holds[text(rule)]():
            raise BicepError(f"{self._path.name}: {name} is {value!r}; expected {text(rule)} {limit}")

    def _resources(self, node: Any) -> Any:
        """Add a resource, or those of a loop; returns what its symbol stands for."""
        name, kind, body = parts(node)
        declared, _, version = self.value(kind).partition("@")
        existing = any(child.type == "existing" or text(child) == "existing" for child in node.children)
        configs = self._configs(body)

        def made(config: Mapping[str, Any]) -> dict[str, Any]:
            known = self._identified(declared, config)
            if not existing:
                sent = {key: value for key, value in config.items() if key not in ("parent", "scope", "dependsOn")}
                self._deployment.resources.append(
                    Resource(text(name), declared, version, known["name"], known["id"], known["scope"], sent)
                )
            return known

        found = [made(config) for config in configs]
        if body.type == "for_statement":
            return found
        return found[0] if found else None

    def _configs(self, body: Any) -> list[Any]:
        if body.type == "if_statement":
            condition, inner = parts(body)
            return [self.value(inner)] if self.value(condition) else []
        configs = self.value(body)
        return configs if body.type == "for_statement" else [configs]

    def _identified(self, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a symbol of a resource stands for: what was declared, its id, and what Azure would tell."""
        parent, scope, name = config.get("parent"), config.get("scope"), config["name"]
        if parent is not None:
            whole = f"{parent['id']}/{kind.rpartition('/')[2]}/{name}"
        else:
            whole = f"{scope['id'] if scope else self.group_id}/providers/{kind}/{name}"
        told = {
            "principalId": f"principal of {name}",
            "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, whole)),
            "ConnectionString": f"InstrumentationKey={uuid.uuid5(uuid.NAMESPACE_URL, whole)};"
            "IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/",
        }
        properties = {**told, **config.get("properties", {})}
        return {
            **config,
            "id": whole,
            "properties": properties,
            "scope": scope["id"] if scope else self.group_id,
        }

    def _module(self, node: Any) -> Any:
        _, file, body = parts(node)
        configs = self._configs(body)
        if not configs:
            return None
        (config,) = configs
        group = config["scope"]["name"] if "scope" in config else self._group
        made = deploy_file(self._path.parent / self.value(file), config["params"], group)
        self._deployment.resources += made.resources
        return {"outputs": made.outputs}

    def call(self, name: str, arguments: list[Any]) -> Any:
        functions: dict[str, Callable[..., Any]] = {
            "concat": lambda *lists: [item for some in lists for item in some],
            "contains": lambda items, item: item in items,
            "empty": lambda value: not value,
            "guid": lambda *seeds: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(seeds))),
            "last": lambda items: items[-1],
            "loadJsonContent": lambda file: json.loads((self._path.parent / file).read_text("utf-8")),
            "loadTextContent": lambda file: (self._path.parent / file).read_text("utf-8"),
            "readEnvironmentVariable": self._variable,
            "resourceGroup": self._resource_group,
            "split": lambda whole, by: whole.split(by),
            "string": lambda value: value if isinstance(value, str) else json.dumps(value, separators=(",", ":")),
            "subscription": lambda: SUBSCRIPTION,
            "subscriptionResourceId": lambda kind, item: f"{SUBSCRIPTION['id']}/providers/{kind}/{item}",
            "take": lambda whole, count: whole[:count],
            # Bicep's has 13 letters and digits, too.
            "uniqueString": lambda *seeds: hashlib.md5("|".join(seeds).encode()).hexdigest()[:13],
        }
        if name not in functions:
            raise BicepError(f"{self._path.name}: the function {name} is not supported here")
        return functions[name](*arguments)

    def _variable(self, name: str, *default: str) -> str:
        if name not in self._environ and not default:
            raise BicepError(f"{self._path.name} needs the environment variable {name}")
        return self._environ.get(name, *default)

    def _resource_group(self, name: str | None = None) -> dict[str, str]:
        group = name or self._group
        return {"id": f"{SUBSCRIPTION['id']}/resourceGroups/{group}", "name": group, "location": "westeurope"}
