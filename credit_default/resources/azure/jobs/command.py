"""A step as an Azure ML command job: what it reads, what it writes, what it runs, and where."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credit_default.pipes.process_variables import JOB_VARIABLE, TRIAL_VARIABLE
from credit_default.settings.azure_compute import SERVERLESS

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command

EXPERIMENT = "credit-default"
#: A folder of the machine's own disk, new for each start of the job; the step stores what it made there itself.
_OUTPUT = "$(mktemp -d)"
#: Whether a job runs on machines that Azure may take away, for whoever finds it later.
SPOT_TAG = "spot"


@dataclass(frozen=True)
class ComputePlacement:
    """Where one attempt runs."""

    compute: str
    spot: bool
    instance_type: str | None = None
    instance_count: int = 1


@dataclass(frozen=True)
class Task:
    """What is to be run.

    Attributes
    ----------
    inputs
        Option name to address of what is read.
    types
        Option name to ``uri_file`` or ``uri_folder``.
    trials
        Size of the search whose trials are jobs of their own; None for a single job.
    """

    program: str
    step: str
    inputs: Mapping[str, str]
    types: Mapping[str, str]
    options: Mapping[str, str]
    days: Sequence[str] = ()
    trials: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def command_line(task: Task, job: str) -> str:
    """Return what the shell of the job runs.

    Every value is quoted, and a value that looks like one of Azure ML's own references stays what it is.
    """
    parts = [f"python -m {task.program}"]
    before = ""
    if task.trials is not None:
        trial = "${{search_space.trial}}"
        # The trials share one environment: what tells them apart has to come with the command.
        before = f"{TRIAL_VARIABLE}={trial} {JOB_VARIABLE}={_trial_job(job, trial)} "
        parts += [f"--trials {task.trials}", f"--only-trial {trial}"]
    parts.append(f'--output "{_OUTPUT}"')
    parts += [f'--{option} "${{{{inputs.{_identifier(option)}}}}}"' for option in task.inputs]
    parts += [f"--{option} {_quoted(value)}".rstrip() for option, value in task.options.items()]
    if task.days:
        parts.append(f"--days {_quoted(','.join(task.days))}")
    return before + " ".join(parts)


def command_job(
    task: Task,
    job: str,
    *,
    place: ComputePlacement,
    code: Path,
    environment: str,
    variables: Mapping[str, str],
    time_limit: float,
) -> Command:
    """Describe the job to the SDK.

    It has no output: what a step made is stored by the step, see `credit_default.pipes.azure_output`.

    Parameters
    ----------
    time_limit
        Seconds after which Azure itself stops the job, so that none runs on when nobody watches.
    """
    from azure.ai.ml import Input, command
    from azure.ai.ml.entities import ManagedIdentityConfiguration

    serverless: dict[str, Any] = {}
    if place.compute == SERVERLESS:
        serverless = {"instance_type": place.instance_type, "job_tier": "Spot" if place.spot else "Standard"}
    return command(
        name=job,
        display_name=f"{task.step.replace('_', ' ')} {job.rpartition('-')[2]}",
        experiment_name=EXPERIMENT,
        tags={**task.tags, SPOT_TAG: "yes" if place.spot else "no"},
        command=command_line(task, job),
        code=code,
        environment=environment,
        environment_variables=dict(variables),
        inputs={
            _identifier(option): Input(type=task.types[option], path=address, mode="ro_mount")
            for option, address in task.inputs.items()
        },
        compute=place.compute,
        instance_count=1 if task.trials is not None else None,
        identity=ManagedIdentityConfiguration(),
        timeout=round(time_limit),
        **serverless,
    )


def _trial_job(job: str, trial: str) -> str:
    name, _, attempt = job.rpartition("-")
    return f"{name}-trial{trial}-{attempt}"


def _identifier(option: str) -> str:
    return option.replace("-", "_")


def _quoted(value: str) -> str:
    if not value:
        return ""
    # Between the two quotes that this puts after the dollar, the shell sees nothing, and Azure ML no reference.
    return shlex.quote(value).replace("${{", "$''{{").replace("$[[", "$''[[")
