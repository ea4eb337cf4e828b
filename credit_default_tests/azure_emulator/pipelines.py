"""Pipeline jobs: command and sweep nodes run one after the other, the outputs of one being inputs of the next."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from credit_default_tests.azure_emulator import sweeps
from credit_default_tests.azure_emulator.azure_errors import bad_request, not_found, not_in_emulator
from credit_default_tests.azure_emulator.bindings import reference
from credit_default_tests.azure_emulator.execution import SERVERLESS, JobCanceled, Runner
from credit_default_tests.azure_emulator.job import Job, JobError
from credit_default_tests.azure_emulator.locations import asset

_ALGORITHMS = {"grid": "Grid", "random": "Random"}


@dataclass(frozen=True)
class Node:
    """One node of a pipeline: what it was asked to do, and the component that does it."""

    name: str
    body: Mapping[str, Any]
    component: Mapping[str, Any]
    compute: str

    @property
    def needs(self) -> set[str]:
        """The nodes whose outputs this one reads."""
        found = (reference(str(given.get("value", ""))) for given in (self.body.get("inputs") or {}).values())
        return {parts[2] for name in found if name and (parts := name.split("."))[:2] == ["parent", "jobs"]}


def nodes(pipeline: Job) -> list[Node]:
    """Return the nodes in an order in which they can run; refuse what Azure refuses."""
    bodies = pipeline.properties.get("jobs") or {}
    found = {name: _node(pipeline, name, body) for name, body in bodies.items()}
    for node in found.values():
        if unknown := node.needs - found.keys():
            raise bad_request(f"Node '{node.name}' reads from nodes that are not there: {', '.join(sorted(unknown))}.")
    try:
        return [
            found[name] for name in TopologicalSorter({node.name: node.needs for node in found.values()}).static_order()
        ]
    except CycleError as error:
        raise bad_request(f"The nodes of the pipeline wait for each other: {error.args[1]}.") from error


def run_pipeline(runner: Runner, pipeline: Job, order: list[Node]) -> None:
    """Run node after node; the first that fails ends the pipeline."""
    pipeline.enter("Preparing")
    if runner.state.tracking:
        runner.start_tracking(pipeline)
    pipeline.enter("Running")
    done: dict[str, Job] = {}
    for node in order:
        if pipeline.cancel.is_set():
            raise JobCanceled
        child = _child(pipeline, node, done)
        pipeline.children.append(child)
        pipeline.workspace.tables["jobs"][child.name] = child
        if pipeline.cancel.is_set():  # asked for while the child was not yet there to be told
            child.request_cancel()
        work = runner.run_command if child.kind == "Command" else lambda sweep: sweeps.run_sweep(runner, sweep)
        runner.conclude(child, work)
        if child.status == "Canceled":
            raise JobCanceled
        if child.status != "Completed":
            told = child.error.message if child.error else "for no reason that it told"
            raise JobError(f"Pipeline has some failed steps: node '{node.name}' (job {child.name}): {told}")
        done[node.name] = child


def _node(pipeline: Job, name: str, body: Mapping[str, Any]) -> Node:
    kind = body.get("type")
    if kind not in ("command", "sweep"):
        raise not_in_emulator(f"The emulator runs command and sweep nodes; '{name}' is '{kind}'.")
    component = body["trial"] if kind == "sweep" else body
    found = asset(pipeline.workspace, component["componentId"], "components")
    asked = body.get("computeId") or (pipeline.properties.get("settings") or {}).get("default_compute")
    compute = str(asked or SERVERLESS).rpartition("/")[2]
    if compute != SERVERLESS and compute not in pipeline.workspace.tables["computes"]:
        raise not_found("Compute", compute)
    specification = found["properties"]["componentSpec"]
    asset(pipeline.workspace, specification["environment"], "environments")
    return Node(name, body, specification, compute)


def _child(pipeline: Job, node: Node, done: Mapping[str, Job]) -> Job:
    """Return a node as the job that it becomes."""
    body, component = node.body, node.component
    command = {
        "command": component["command"],
        "codeId": component.get("code"),
        "environmentId": component["environment"],
        "environmentVariables": {
            **(component.get("environment_variables") or {}),
            **(body.get("environment_variables") or {}),
        },
    }
    properties: dict[str, Any] = {
        "displayName": node.name,
        "experimentName": pipeline.experiment,
        "inputs": _inputs(pipeline, node, done),
        "outputs": {
            name: _output(pipeline, node, name, spec) for name, spec in (component.get("outputs") or {}).items()
        },
        "limits": {},
        "tags": {},
        "properties": {"azureml.nodeid": node.name, "azureml.pipelinerunid": pipeline.name},
    }
    if body["type"] == "command":
        properties |= {**command, "jobType": "Command"}
        properties["limits"] = {"timeout": (body.get("limits") or {}).get("timeout")}
    else:
        limits = body.get("limits") or {}
        objective = body["objective"]
        properties |= {
            "jobType": "Sweep",
            "trial": command,
            "searchSpace": {name: _expression(chosen) for name, chosen in body["search_space"].items()},
            "samplingAlgorithm": {"samplingAlgorithmType": _algorithm(body["sampling_algorithm"])},
            "objective": {"goal": objective["goal"], "primaryMetric": objective["primary_metric"]},
            "limits": {
                "maxTotalTrials": limits.get("max_total_trials"),
                "maxConcurrentTrials": limits.get("max_concurrent_trials"),
                "timeout": limits.get("timeout"),
                "trialTimeout": limits.get("trial_timeout"),
            },
        }
        for name in body["search_space"]:
            properties["inputs"].pop(name, None)
            command["command"] = command["command"].replace(f"${{{{inputs.{name}}}}}", f"${{{{search_space.{name}}}}}")
        sweeps.check(properties)
    child = Job(
        workspace=pipeline.workspace,
        name=str(uuid.uuid4()),
        kind=properties["jobType"],
        properties=properties,
        compute=node.compute,
        parent=pipeline,
    )
    child.place_outputs()
    return child


def _inputs(pipeline: Job, node: Node, done: Mapping[str, Job]) -> dict[str, Any]:
    """Return what a node gets, bindings followed to what they lead to."""
    given = node.body.get("inputs") or {}
    resolved = {}
    for name, spec in (node.component.get("inputs") or {}).items():
        is_data = spec["type"] in ("uri_file", "uri_folder")
        if name in given:
            value = _follow(pipeline, given[name], done)
        elif "default" in spec:
            value = {"value": spec["default"]}
        elif spec.get("optional") or name in (node.body.get("search_space") or {}):
            continue
        else:
            raise JobError(f"Node '{node.name}' was not given its input '{name}'.")
        resolved[name] = (
            {"jobInputType": spec["type"], "uri": value.get("uri") or value["value"], "mode": value.get("mode")}
            if is_data
            else {"jobInputType": "literal", "value": str(value["value"])}
        )
    return resolved


def _follow(pipeline: Job, given: Mapping[str, Any], done: Mapping[str, Job]) -> Mapping[str, Any]:
    """Return what an input of a node holds once its binding, if it is one, was followed."""
    bound = reference(str(given.get("value", "")))
    if bound is None:
        return given
    parts = bound.split(".")
    if parts[:2] == ["parent", "inputs"]:
        return pipeline.properties["inputs"][parts[2]]
    if parts[:2] == ["parent", "jobs"] and parts[3] == "outputs":
        child = done[parts[2]]
        # A sweep hands on what its best trial made.
        best = child.results.get("best_child_run_id")
        source = next((trial for trial in child.children if trial.name == best), child)
        return {"uri": source.outputs[parts[4]], "mode": given.get("mode")}
    raise JobError(f"'{bound}' leads to nothing in the pipeline.")


def _output(pipeline: Job, node: Node, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return where an output of a node goes; to an output of the pipeline where it is bound to one."""
    asked = (node.body.get("outputs") or {}).get(name) or {}
    bound = reference(str(asked.get("value", "")))
    output = {"jobOutputType": spec["type"], "mode": asked.get("mode"), "uri": asked.get("uri")}
    if bound is not None:
        output["uri"] = pipeline.outputs[bound.rpartition(".")[2]]
    return output


def _algorithm(told: str | Mapping[str, Any]) -> str:
    name = told if isinstance(told, str) else told["type"]
    return _ALGORITHMS.get(name, name)


def _expression(chosen: Mapping[str, Any]) -> list[Any]:
    """Return an entry of a node's search space as a sweep job's has it on the wire."""
    if chosen["type"] == "choice":
        return ["choice", [chosen["values"]]]
    order = ("upper", "min_value", "max_value", "mu", "sigma", "q")
    return [chosen["type"], [chosen[key] for key in order if key in chosen]]
