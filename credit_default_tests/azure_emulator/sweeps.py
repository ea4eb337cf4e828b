"""Sweep jobs: a search space becomes trials, each a command job of its own, and the best one is told."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import bad_request, not_in_emulator
from credit_default_tests.azure_emulator.execution import JobCanceled, Runner
from credit_default_tests.azure_emulator.job import Job, JobError, seconds_of

#: Azure's own limit of the number of trials.
MOST_TRIALS = 1000

_GOALS = {"maximize": max, "minimize": min}


def check(properties: Mapping[str, Any]) -> None:
    """Refuse a sweep that Azure refuses, or that the emulator cannot run."""
    kind = properties["samplingAlgorithm"]["samplingAlgorithmType"]
    if kind not in ("Grid", "Random"):
        raise not_in_emulator(f"The emulator runs grid and random sweeps and no '{kind}' one.")
    if properties.get("earlyTermination"):
        raise not_in_emulator("The emulator has no early termination of trials.")
    if properties["objective"]["goal"].lower() not in _GOALS:
        raise bad_request(f"'{properties['objective']['goal']}' is no goal; expected minimize or maximize.")
    for name, expression in properties["searchSpace"].items():
        if kind == "Grid" and expression[0] != "choice":
            raise bad_request(f"Grid sampling only supports choice; '{name}' is '{expression[0]}'.")
        if expression[0] != "choice" and expression[0] not in _DRAWS:
            raise bad_request(f"'{expression[0]}' of '{name}' is no expression of a search space.")


def combinations(properties: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what each trial gets for the names of the search space, in the order in which they start."""
    space = properties["searchSpace"]
    algorithm = properties["samplingAlgorithm"]
    limit = (properties.get("limits") or {}).get("maxTotalTrials") or MOST_TRIALS
    if algorithm["samplingAlgorithmType"] == "Grid":
        grid = itertools.product(*(expression[1][0] for expression in space.values()))
        chosen: Iterator[Sequence[Any]] = itertools.islice(grid, limit)
    else:
        generator = random.Random(algorithm.get("seed"))
        chosen = (tuple(_draw(expression, generator) for expression in space.values()) for _ in range(limit))
    return [dict(zip(space, map(str, values), strict=True)) for values in chosen]


def run_sweep(runner: Runner, job: Job) -> None:
    """Run every trial and name the best in the sweep's properties."""
    properties = job.properties
    job.enter("Preparing")
    if runner.state.tracking:
        runner.start_tracking(job)
    job.children.extend(_trial(job, number, chosen) for number, chosen in enumerate(combinations(properties)))
    for child in job.children:
        job.workspace.tables["jobs"][child.name] = child
    job.enter("Running")
    limits = properties.get("limits") or {}
    at_once = limits.get("maxConcurrentTrials") or len(job.children)
    with ThreadPoolExecutor(max_workers=max(1, at_once), thread_name_prefix=job.name) as pool:
        trials = [pool.submit(runner.conclude, child, runner.run_command) for child in job.children]
        _wait(job, seconds_of(limits.get("timeout")))
        for trial in trials:
            trial.result()
    if job.cancel.is_set():
        raise JobCanceled
    _tell_best(runner, job)
    if all(child.status != "Completed" for child in job.children):
        first = next((child.error for child in job.children if child.error), JobError("it told nothing"))
        raise JobError(f"Every trial of the sweep failed. The first: {first.message}", first.code, first.inner)


def _wait(job: Job, limit: float | None) -> None:
    """Wait for every trial; ask them all to end when somebody asked the sweep to, or its time is over."""
    begin = time.monotonic()
    while not all(child.ended.wait(0.05) for child in job.children):
        if limit is not None and time.monotonic() - begin > limit:
            job.error = JobError(f"The sweep ran longer than its limit of {limit:.0f} seconds.", inner="JobTimeout")
            job.cancel.set()
        if job.cancel.is_set():
            job.request_cancel()


def _trial(sweep: Job, number: int, chosen: Mapping[str, str]) -> Job:
    properties = sweep.properties
    name = f"{sweep.name}_{number}"
    limits = properties.get("limits") or {}
    trial = Job(
        workspace=sweep.workspace,
        name=name,
        kind="Command",
        properties={
            **properties["trial"],
            "jobType": "Command",
            "displayName": f"{properties.get('displayName') or sweep.name}_{number}",
            "experimentName": sweep.experiment,
            "computeId": properties.get("computeId"),
            "queueSettings": properties.get("queueSettings"),
            "inputs": properties.get("inputs") or {},
            "outputs": properties.get("outputs") or {},
            "limits": {"jobLimitsType": "Command", "timeout": limits.get("trialTimeout")},
            "tags": {**(properties.get("tags") or {}), **{f"hyperparameter.{key}": chosen[key] for key in chosen}},
            "properties": {},
        },
        compute=sweep.compute,
        parent=sweep,
        parameters=chosen,
    )
    trial.place_outputs()
    return trial


def _tell_best(runner: Runner, job: Job) -> None:
    """Put the best trial by the primary metric into the sweep's properties; none when no trial logged it."""
    if runner.state.tracking is None:
        return
    objective = job.properties["objective"]
    scores = {
        child.name: score
        for child in job.children
        if child.status == "Completed"
        and child.mlflow_run
        and (score := runner.state.tracking.metric(child.mlflow_run, objective["primaryMetric"])) is not None
    }
    if scores:
        best = _GOALS[objective["goal"].lower()](scores, key=lambda name: scores[name])
        job.results |= {"best_child_run_id": best, "score": str(scores[best])}


def _draw(expression: Sequence[Any], generator: random.Random) -> Any:
    kind, arguments = expression
    return generator.choice(arguments[0]) if kind == "choice" else _DRAWS[kind](generator, *arguments)


def _rounded(value: float, step: float) -> float:
    return round(value / step) * step


_DRAWS = {
    "randint": lambda g, upper: g.randrange(int(upper)),
    "uniform": lambda g, low, high: g.uniform(low, high),
    "quniform": lambda g, low, high, q: _rounded(g.uniform(low, high), q),
    "loguniform": lambda g, low, high: math.exp(g.uniform(low, high)),
    "qloguniform": lambda g, low, high, q: _rounded(math.exp(g.uniform(low, high)), q),
    "normal": lambda g, mean, deviation: g.gauss(mean, deviation),
    "qnormal": lambda g, mean, deviation, q: _rounded(g.gauss(mean, deviation), q),
    "lognormal": lambda g, mean, deviation: math.exp(g.gauss(mean, deviation)),
    "qlognormal": lambda g, mean, deviation, q: _rounded(math.exp(g.gauss(mean, deviation)), q),
}
