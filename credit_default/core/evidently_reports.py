"""What Evidently does for us: the distance of every column, and its reports, each one HTML file.

Drawing is the expensive part of Evidently's own ``ValueDrift``: of 2.0 s for a day of 500 rows against 12,000, 1.5 s
go into building two plotly figures a column through plotly's validators. The metric here is Evidently's, figures and
verdict unchanged, with a drawing of its own: one bar chart a column, handed over as plain data. The chart that is
left out shows means by row index, which says nothing about rows that have no order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

# Evidently reports to its makers unless this is set before it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")

from evidently import DataDefinition, Dataset, Report
from evidently.core.container import MetricContainer
from evidently.core.metric_types import SingleValueCalculation
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
from evidently.legacy.renderers.html_widgets import (
    CounterData,
    GraphData,
    counter,
    plotly_graph,
    table_data,
)
from evidently.legacy.tests.base_test import TestStatus
from evidently.metrics import ValueDrift
from evidently.metrics.column_statistics import ValueDriftCalculation
from evidently.presets import DataSummaryPreset

from credit_default.core.bins import column, is_number

#: The tests, by name, whatever the number of rows: Evidently's defaults would change with the reference's size.
TESTS = {"num": wasserstein_stat_test, "cat": jensenshannon_stat_test}
THRESHOLD = 0.1
#: Evidently's verdict on a whole dataset: this share of drifted columns, or more.
DRIFT_SHARE = 0.5

_COLOURS = {"current": "#ed0400", "reference": "#4d4d4d"}


class ColumnDrift(ValueDrift):  # type: ignore[misc] # evidently's classes are untyped here
    """Evidently's ``ValueDrift`` with a lighter drawing."""


class ColumnDriftCalculation(SingleValueCalculation[ColumnDrift]):  # type: ignore[misc] # untyped, as above
    """How `ColumnDrift` is calculated (by Evidently) and drawn (here)."""

    # Borrowed, not inherited: evidently finds the metric of a calculation in its first base.
    calculate = ValueDriftCalculation.calculate

    def display_name(self) -> str:
        """Name in evidently's own listings."""
        return f"Drift of {self.metric.column}"

    def _render(self, result: Any, _options: Any, _colours: Any) -> list[Any]:
        bars = []
        for label, side in (("reference", result.reference), ("current", result.current)):
            heights = [float(height) for height in side.distribution.y]
            total = sum(heights) or 1.0
            bars.append(
                {
                    "type": "bar",
                    "name": label,
                    "x": [_plain(x) for x in side.distribution.x],
                    "y": [height / total for height in heights],
                    "marker": {"color": _COLOURS[label]},
                }
            )
        verdict = "drift" if result.drift_detected else "no drift"
        title = f"{result.column_name}: {verdict}, {result.stattest_name} {result.drift_score:.3f}"
        layout = {"barmode": "group", "yaxis": {"title": {"text": "share of rows"}, "tickformat": ".0%"}}
        return [plotly_graph(graph_data=GraphData(title, data=bars, layout=layout))]


class DayDrift(MetricContainer):  # type: ignore[misc] # untyped, as above
    """The report of a day: headline, a table of all columns, then one chart a column."""

    kinds: dict[str, str]
    headline: dict[str, str]
    stability: dict[str, list[str]]

    def generate_metrics(self, _context: Any) -> Sequence[Any]:
        """One metric a column, its test named."""
        return [_metric(name, kind) for name, kind in self.kinds.items()]

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        """Put headline and table above the charts."""
        rows = []
        for name, metric in zip(self.kinds, self.metrics(context), strict=True):
            distance = _distance(context.get_metric_result(metric))
            verdict = "drift" if distance.drifted else "no drift"
            rows.append([name, distance.test, f"{distance.value:.3f}", verdict, *self.stability[name]])
        names = ["column", "test", "distance", "Evidently", "CSI / PSI", "limit", "violation"]
        counters = [CounterData(label, value) for label, value in self.headline.items()]
        top = [counter(counters=counters), table_data(column_names=names, data=rows, title="Columns")]
        return [*top, *super().render(context, child_widgets)]


@dataclass(frozen=True)
class Distance:
    """Evidently's figure for one column and whether it calls that drift."""

    value: float
    drifted: bool
    test: str


def kind_of(table: pa.Table, name: str) -> str:
    """``num`` or ``cat``, as Evidently abbreviates."""
    return "num" if is_number(column(table, name)) else "cat"


def dataset(table: pa.Table, kinds: Mapping[str, str]) -> Dataset:
    """Columns of a table as Evidently wants them, their kinds declared so that none is guessed."""
    frame = pd.DataFrame(
        {
            name: table.column(name).cast(pa.float64() if kind == "num" else pa.string()).to_pandas()
            for name, kind in kinds.items()
        }
    )
    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "num"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "cat"],
    )
    return Dataset.from_pandas(frame, data_definition=definition)


def compare(
    current: Dataset,
    reference: Dataset,
    kinds: Mapping[str, str],
    *,
    headline: Mapping[str, str],
    stability: Mapping[str, list[str]],
) -> tuple[dict[str, Distance], str]:
    """Run Evidently once: its distances by column, and its report as HTML that needs no network.

    Every column of ``kinds`` must have a value on both sides: Evidently refuses empty columns.
    """
    day = DayDrift(
        kinds=dict(kinds),
        headline=dict(headline),
        stability={name: stability[name] for name in kinds},
    )
    snapshot = Report([day], include_tests=True).run(current, reference)
    distances = {
        name: _distance(snapshot.context.get_metric_result(_metric(name, kind))) for name, kind in kinds.items()
    }
    return distances, snapshot.get_html_str(as_iframe=False)


def summary(current: pa.Table, reference: pa.Table, names: Sequence[str]) -> str:
    """Evidently's summary of some columns of two tables side by side, as HTML that needs no network."""
    kinds = {name: kind_of(current, name) for name in names}
    snapshot = Report([DataSummaryPreset()]).run(dataset(current, kinds), dataset(reference, kinds))
    html: str = snapshot.get_html_str(as_iframe=False)
    return html


def empty_page(message: str) -> str:
    """Page for a day that Evidently cannot report on, in place of its report."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift</title></head>'
        f'<body style="font-family: sans-serif; margin: 3rem"><h1>Drift</h1><p>{message}</p></body></html>\n'
    )


def _metric(name: str, kind: str) -> ColumnDrift:
    return ColumnDrift(column=name, method=TESTS[kind].name, threshold=THRESHOLD)


def _distance(result: Any) -> Distance:
    # Evidently sums over categories in the order of a set: the last digit differs from process to process, and the
    # hash of a stored result must not.
    value = round(float(result.value), 12)
    assert math.isfinite(value), "evidently's distances are finite for columns with values"
    names = {test.name: test.display_name for test in TESTS.values()}
    drifted = any(test.status == TestStatus.FAIL for test in result.tests)
    return Distance(value, drifted, names[result.metric_value_location.metric.params["method"]])


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
