"""Probes that start jobs, one at a time on one machine."""

from __future__ import annotations

import json
import re
from typing import Any

from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.history import ENDED, RunHistory
from credit_default.settings.azure_compute import Kind
from credit_default_tests.azure_check.session import Session

_PUT, _GET, _CANCEL = "2025-01-01-preview", "2024-01-01-preview", "2023-04-01-preview"
_LAST_WORDS = "the-last-words-of-azure-check"
_FAILS = f"env | cut -d= -f1 | grep -E '^(MLFLOW|AZUREML)' | sort | sed 's/^/variable /'; echo {_LAST_WORDS}; exit 3"
#: Those that MLflow and its plugin for Azure ML read in a job.
_READ = {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"}
_MOUNTED = """
import errno, os, sys
path = os.path.join(sys.argv[1], "one.txt")
open(path, "w").close()
def rewrite(): open(path, "w").close()
def rename(): os.rename(path, path + ".moved")
def remove(): os.remove(path + ".moved" if os.path.exists(path + ".moved") else path)
for what in (rewrite, rename, remove):
    try:
        what()
        told = "taken"
    except OSError as error:
        told = errno.errorcode[error.errno]
    print("result", what.__name__, told)
"""
#: A machine may have to be started first.
_JOB_SECONDS = 900.0


def stamp(session: Session) -> str:
    """Return what names of one check have in common, and those of no other."""
    return f"{session.began:%Y%m%d%H%M%S}"


def history(session: Session) -> RunHistory:
    """Return the workspace's run history."""
    return RunHistory(session.place.registry.workspace)


def a_job_that_fails(session: Session) -> None:
    """Run a program that prints what its environment holds, and fails."""
    name, azure = f"azure-check-{stamp(session)}-fails", session.azure
    status = _run(session, name, _FAILS)
    details = history(session).details(name)
    error = details.error or ""
    told = [word for word, there in (("status", "3" in error), ("last lines", _LAST_WORDS in error)) if there]
    session.find(
        "failed-program",
        "what does the error of a program say that ended with 3?",
        expected="Failed: status, last lines",
        observed=f"{status}: {', '.join(told) or 'neither status nor last lines'}",
        detail=error.strip().partition("\n")[0],
    )
    again = azure.ask("POST", f"jobs/{name}/cancel", _CANCEL)
    session.find(
        "cancel-ended", "what is the cancel of an ended job answered with?", expected="accepted",
        observed=again.shown, detail=again.detail,
    )  # fmt: skip
    outputs = (azure.ask("GET", f"jobs/{name}", _GET).body or {}).get("properties", {}).get("outputs") or {}
    session.find(
        "default-output", "which outputs has a job that was given none?", expected="none",
        observed=", ".join(sorted(outputs)) or "none",
    )  # fmt: skip
    names = _printed(session, details.logs)
    session.find(
        "job-variables",
        "does a job's environment hold what the plugin reads?",
        expected="yes",
        observed="yes" if names >= _READ else f"not {', '.join(sorted(_READ - names))}",
        detail="besides: " + (", ".join(sorted(names - _READ)) or "nothing"),
    )
    _tokens(session, name)


def a_job_that_takes_too_long(session: Session) -> None:
    """Run a program for longer than its limit."""
    name = f"azure-check-{stamp(session)}-waits"
    status = _run(session, name, "sleep 600", limits={"jobLimitsType": "Command", "timeout": "PT10S"})
    error = history(session).details(name).error or "no error"
    session.find(
        "job-timeout", "what becomes of a job over its limit?", expected="Canceled, with an error",
        observed=f"{status}, {'no' if error == 'no error' else 'with an'} error", detail=error.partition("\n")[0],
    )  # fmt: skip


def a_job_without_its_input(session: Session) -> None:
    """Give a job a path that leads nowhere."""
    name, storage = f"azure-check-{stamp(session)}-lacks", session.place.storage
    session.place.make_datastore()
    address = storage.datastore_uri("azure-check/nothing/here")
    inputs = {"data": {"jobInputType": "uri_folder", "uri": address, "mode": "ReadOnlyMount"}}
    status = _run(session, name, "ls ${{inputs.data}}", inputs=inputs)
    details = history(session).details(name)
    session.find(
        "missing-input", "what becomes of a job whose input is not there?", expected="Failed, UserError",
        observed=f"{status}, {'UserError' if 'UserError' in details.reasons else 'no UserError'}",
        detail=(details.error or "").partition("\n")[0],
    )  # fmt: skip


def a_job_with_a_mounted_output(session: Session) -> None:
    """Write again, rename and remove what a job wrote to a mounted output."""
    name, storage = f"azure-check-{stamp(session)}-mounts", session.place.storage
    session.place.make_datastore()
    address = storage.datastore_uri("azure-check/mounted")
    output = {"jobOutputType": "uri_folder", "uri": address, "mode": "ReadWriteMount"}
    _run(session, name, f"python -c '{_MOUNTED}' ${{{{outputs.o}}}}", outputs={"o": output})
    text = _log(session, history(session).details(name).logs)
    told = dict(re.findall(r"^result (\w+) (\w+)$", text, re.MULTILINE))
    for key, what in (("mounted-outputs", "rename"), ("mounted-outputs", "remove"), ("mounted-rewrites", "rewrite")):
        session.find(
            key, f"what does a program get for this below a mounted output: {what}?", expected="EPERM",
            observed=told.get(what, "no answer"),
        )  # fmt: skip


def a_search(session: Session) -> None:
    """Run two trials that log no metric, one after the other."""
    name = f"azure-check-{stamp(session)}-seeks"
    status = _run(
        session,
        name,
        "echo ${{search_space.trial}}",
        jobType="Sweep",
        searchSpace={"trial": ["choice", [[0, 1]]]},
        samplingAlgorithm={"samplingAlgorithmType": "Grid"},
        objective={"primaryMetric": "nobody-logs-it", "goal": "Maximize"},
        limits={"jobLimitsType": "Sweep", "maxTotalTrials": 2, "maxConcurrentTrials": 1},
    )
    names = [child.name for child in history(session).children(name)]
    named = bool(names) and all(re.fullmatch(rf"{re.escape(name)}_\d+", one) for one in names)
    session.find(
        "sweeps", "how are trials named?", expected="after the sweep, with a number",
        observed="after the sweep, with a number" if named else "otherwise", detail=", ".join(names),
    )  # fmt: skip
    told = session.azure.ask("GET", f"jobs/{name}", _GET).body or {}
    best = ((told.get("properties") or {}).get("properties") or {}).get("best_child_run_id")
    session.find(
        "sweeps", "how does a sweep end whose trials logged no metric?", expected="Completed, no best trial",
        observed=f"{status}, {'a' if best else 'no'} best trial",
    )  # fmt: skip


def _run(session: Session, name: str, command: str, **more: Any) -> str:
    """Run a command on the cluster of the steps to its end, and return how it ended."""
    azure, compute = session.azure, session.place.endpoint.compute.targets[Kind.SCORE.value].compute
    environment, _, version = job_environments.reference(Kind.SCORE).partition(":")
    properties = {
        "jobType": "Command",
        "experimentName": "azure-check",
        "displayName": name,
        "computeId": f"{azure.workspace}/computes/{compute}",
        **more,
    }
    program = {
        "command": command,
        "environmentId": f"{azure.workspace}/environments/{environment}/versions/{version}",
    }
    properties |= {"trial": program} if properties["jobType"] == "Sweep" else program
    session.facts.setdefault("jobs", []).append(name)
    put = azure.ask("PUT", f"jobs/{name}", _PUT, {"properties": properties})
    if put.status >= 300:
        raise RuntimeError(f"Azure ML did not take job {name} ({put.shown} {put.detail})")

    def ended() -> str | None:
        told = azure.ask("GET", f"jobs/{name}", _GET).body or {}
        status = (told.get("properties") or {}).get("status")
        return str(status) if status in ENDED else None

    return str(session.wait(f"the end of job {name}", _JOB_SECONDS, ended))


def _printed(session: Session, logs: Any) -> set[str]:
    """Return the names of variables that the job printed."""
    return set(re.findall(r"^variable (\w+)$", _log(session, logs), re.MULTILINE))


def _log(session: Session, logs: Any) -> str:
    """Return what a job printed."""
    told = history(session)
    read = (told.read(logs[name], 0).decode("utf-8", "replace") for name in logs if name.startswith("user_logs/"))
    return "".join(read)


def _tokens(session: Session, job: str) -> None:
    """Ask discovery without a token, and run history with one for Resource Manager."""
    import requests

    found = session.place.registry.workspace.client().workspaces.get(session.place.workspace).discovery_url
    plain = requests.get(str(found), timeout=30)
    what = "does discovery need no token?"
    session.find("history-tokens", what, expected="200", observed=str(plain.status_code))
    if plain.status_code == requests.codes.ok:
        service = json.loads(plain.content)["api"]
        told = session.azure.get(f"{service}/history/v1.0{session.azure.workspace}/runs/{job}/details")
        what = "does run history take a token for Resource Manager?"
        session.find("history-tokens", what, expected="accepted", observed=told.shown, detail=told.detail)
