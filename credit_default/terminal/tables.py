"""Tables on the terminal, all of them read from stored results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from credit_default.core.plurals import plural
from credit_default.core.printable import without_controls
from credit_default.resources import resources_for
from credit_default.settings import HOME_VARIABLE, Environment, Settings
from credit_default.tracing import Trace

FIGURES = {
    "roc_auc": "ROC AUC",
    "gini": "Gini",
    "ks": "KS",
    "average_precision": "average precision",
    "brier": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "f1": "F1 at the threshold",
}


def console() -> Console:
    """Return a console that is wide enough for our tables where there is no terminal to ask."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=140)


def say_where(settings: Settings) -> None:
    """Say on standard error where nothing was found, so that a look into the wrong home is seen as one."""
    if settings.environment is Environment.LOCAL:
        missing = "" if settings.home.exists() else ", which is not there"
        place = f"{settings.home}{missing}; set {HOME_VARIABLE} to look into another home"
    else:
        place = f"{resources_for(settings)['storage'].uri('')} ({settings.environment.value})"
    Console(stderr=True, highlight=False).print(f"Looked in {escape(place)}.", soft_wrap=True)


def show_models(settings: Settings, *, as_json: bool) -> None:
    """Print the registered versions, newest first."""
    ports = resources_for(settings)
    state = ports["endpoint"].state()
    versions = [
        {
            "version": version.version,
            "state": _state(version.version, state),
            "verdict": version.tags.get("verdict", ""),
            "roc_auc": version.tags.get("roc_auc", ""),
            "aliases": ", ".join(version.aliases),
            "model_id": version.tags.get("model_id", ""),
            "prepared_data_version": version.tags.get("prepared_data_version", "")[:12],
            "code_version": version.tags.get("code_version", ""),
        }
        for version in ports["registry"].versions()
    ]
    show_rows(pa.Table.from_pylist(versions) if versions else pa.table({}), as_json=as_json)
    if not versions:
        say_where(settings)


def _state(version: str, state: Any) -> str:
    return {state.previous: "previous", state.default: "live"}.get(version, "")


def show_rows(table: pa.Table, *, as_json: bool) -> None:
    """Print rows as a table, or each as a JSON document."""
    screen = console()
    if as_json:
        for row in table.to_pylist():
            screen.out(json.dumps(row, default=str), highlight=False)
        return
    shown = Table(box=box.SIMPLE_HEAD)
    for name in table.column_names:
        shown.add_column(escape(name), overflow="fold")
    for row in table.to_pylist():
        shown.add_row(*(escape(cell(value)) for value in row.values()))
    if _wide(table, screen.width):
        # Wider than the screen: a block for each row is read more easily than cells broken into pieces.
        for row in table.to_pylist():
            screen.rule(style="dim")
            for name, value in row.items():
                screen.print(f"[bold]{escape(name)}[/]  {escape(cell(value))}")
    else:
        screen.print(shown)
    screen.print(plural(table.num_rows, "row"))


def _wide(table: pa.Table, width: int) -> bool:
    widest = [max([len(name), *(len(cell(value)) for value in table[name].to_pylist())]) for name in table.column_names]
    return sum(widest) + 2 * len(widest) > width


def cell(value: Any) -> str:
    """Return how a value is shown in a table."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else without_controls(str(value))


def show_trace(trace: Trace, *, values: bool, as_json: bool) -> None:
    """Print what was found on the way from a prediction to its source, and how it ended."""
    screen = console()
    if as_json:
        screen.out(json.dumps(trace.as_dict(values=values), default=str, indent=2), highlight=False)
        return
    colours = {"ok": "green", "altered": "bold red", "missing": "bold red", "cannot be checked": "yellow"}
    for one in trace.findings:
        verdict = f"[{colours[one.verdict]}]{one.verdict:<17}[/]"
        screen.print(
            f"{verdict}  {one.step:<13}  {one.what:<12}  {escape(without_controls(one.detail))}", soft_wrap=True
        )
    if values:
        for name, value in (trace.values or {}).items():
            # Whole, where tables of figures are rounded.
            told = "" if value is None else str(value)
            screen.print(f"[dim]{name:<20}[/]  {escape(without_controls(told))}", soft_wrap=True)
    screen.print(trace.conclusion, soft_wrap=True)


def model_table(manifest: dict[str, Any], version: str) -> Table:
    """Return the figures of a model on its test part."""
    test = manifest["metrics"]["test"]
    table = Table(title=f"Model, version {version}, on its test part", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, title in FIGURES.items():
        if test.get(name) is not None:
            table.add_row(title, f"{test[name]:.4f}")
    table.add_row("threshold", f"{manifest['threshold']:.4f}")
    return table


def days_table(days: Iterable[dict[str, Any]]) -> Table:
    """Return one row for each day: how many clients, what they scored, how far they had drifted."""
    table = Table(title="Days", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("day", "version", "rows", "rejected", "mean PD", "drifted features", "PSI of PD", "violation", "AUC"):
        table.add_column(name, justify="left" if name == "day" else "right")
    for day in days:
        violation = day.get("violation")
        table.add_row(
            day["day"],
            *(
                cell(day.get(name))
                for name in ("model_version", "rows", "rejected", "mean_pd", "n_drifted_features", "psi")
            ),
            "" if violation is None else ("[bold red]yes[/]" if violation else "no"),
            cell(day.get("roc_auc")),
        )
    return table


def verdict_table(told: Mapping[str, Any], version: str) -> Table:
    """Return what was decided about a version, criterion by criterion, from its stored verdict."""
    beside = f" beside version {told['compared_with']}" if told.get("compared_with") else ""
    title = f"Version {version}{beside}: {told['decision']}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("criterion", "value", "threshold", "met", "what it says"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for criterion in told["criteria"]:
        met = "yes" if criterion["passed"] else "[bold red]no[/]"
        told_of_it = (criterion["threshold"], met, escape(criterion["explanation"]))
        table.add_row(criterion["name"], cell(criterion["value"]), *told_of_it)
    return table
