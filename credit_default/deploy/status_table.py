"""What is where, as a table: a column for each environment and for each registry that they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from credit_default.core.plurals import plural
from credit_default.deploy.environments import KINDS

Facts = dict[str, Any]

_SHORT = 8
_VERSIONS = 5
_STYLES = {"current": "green", "outdated": "yellow", "missing": "red"}


def status_table(told: Facts) -> Table:
    """Return the table of what `credit_default.deploy.status` found."""
    columns = {
        **told["environments"],
        **{f"registry {name}": facts for name, facts in told["registries"].items()},
    }
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(escape(name), overflow="fold")
    rows: dict[str, Callable[[Facts], str]] = {
        "workspace": lambda facts: escape(facts.get("workspace", "")),
        "problem": lambda facts: f"[bold red]{escape(facts['problem'])}[/]" if facts.get("problem") else "",
        "live model": _live,
        "model versions": _models,
        **{f"environment {kind}": partial(_environment, kind) for kind in KINDS},
        "batch endpoint": partial(_endpoint, "batch_endpoint"),
        "batch deployments": partial(_deployments, "batch_endpoint"),
        "online endpoint": partial(_endpoint, "online_endpoint"),
        "online deployments": partial(_deployments, "online_endpoint"),
        "data curated_data": partial(_data, "curated_data"),
        "data inference_data": partial(_data, "inference_data"),
    }
    for title, cell in rows.items():
        cells = [cell(facts) for facts in columns.values()]
        if any(cells):
            table.add_row(title, *cells)
    return table


def _live(facts: Facts) -> str:
    if "batch_endpoint" not in facts:
        return ""
    live = next((model for model in facts["models"] if model["live"]), None)
    if live is None:
        return str(facts["batch_endpoint"]["live_version"] or "none")
    return f"{live['version']}  {live['sha256'][:_SHORT]}"


def _models(facts: Facts) -> str:
    if "models" not in facts:
        return ""
    shown = [f"{one['version']}  {one['sha256'][:_SHORT]}  {one['verdict']}" for one in facts["models"][:_VERSIONS]]
    more = len(facts["models"]) - len(shown)
    return escape("\n".join([*shown, *([f"and {more} older"] if more else [])]) or "none")


def _environment(kind: str, facts: Facts) -> str:
    if "environments" not in facts:
        return ""
    told = facts["environments"][kind]
    return f"[{_STYLES[told['state']]}]{told['state']}[/]  {told['wanted'][:_SHORT]}"


def _endpoint(kind: str, facts: Facts) -> str:
    if kind not in facts:
        return ""
    told = facts[kind]
    if not told["there"]:
        return f"{escape(told['name'])}: [red]missing[/]"
    answers = f"version {told['live_version']}" if told["live_version"] else "nothing"
    return f"{escape(told['name'])}: {answers} answers" + (" [yellow](older code)[/]" if told["outdated"] else "")


def _deployments(kind: str, facts: Facts) -> str:
    if kind not in facts or not facts[kind]["there"]:
        return ""
    told = facts[kind]["deployments"]
    return escape("\n".join(name if state == "Succeeded" else f"{name} ({state})" for name, state in told.items()))


def _data(name: str, facts: Facts) -> str:
    if "data_assets" not in facts:
        return ""
    told = facts["data_assets"][name]
    if not told["versions"]:
        return "none"
    return f"{plural(told['versions'], 'version')}, newest {escape(told['newest'])}"
