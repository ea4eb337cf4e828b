"""Evidently's distance of every column, and its pages, each one HTML file that needs no network.

The distances are those of Evidently's own tests, over every row. No row reaches a page: what is drawn of a day are
counts on the model's bins, which is what CSI and PSI are measured on, and the summary of the training data is made of
clipped and rounded numbers. Evidently's histograms begin and end at the least and the greatest value of a column, each
of them one client's.

Drawing was also the expensive part of Evidently's ``ValueDrift``: of 2.0 s for a day of 500 rows against 12,000, 1.5 s
went into building two plotly figures a column through plotly's validators. A bar chart is handed over as plain data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

# Evidently reports to its makers unless this is set before it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")

from evidently import DataDefinition, Dataset, Report
from evidently.core.container import MetricContainer
from evidently.core.metric_types import render_widgets
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
from evidently.legacy.core import ColumnType
from evidently.legacy.renderers.html_widgets import (
    CounterData,
    GraphData,
    counter,
    group_widget,
    plotly_graph,
    table_data,
    text_widget,
)
from evidently.presets import DataSummaryPreset

from credit_default.core.statistics.bins import Floats, column, is_number, to_floats

#: The tests, by name, whatever the number of rows: Evidently's defaults would change with the reference's size.
TESTS = {"num": wasserstein_stat_test, "cat": jensenshannon_stat_test}
THRESHOLD = 0.1
#: Evidently's verdict on a whole dataset: this share of drifted columns, or more.
DRIFT_SHARE = 0.5

_COLOURS = {"reference": "#4d4d4d", "current": "#ed0400"}
#: Bars of the histogram whose range Evidently could not divide either.
_BARS = 10
#: In the summary, values beyond these shares of the reference are given as the value there.
_CLIPPED_SHARES = (0.01, 0.99)
_DIGITS = 3
#: Beyond its square is infinite, and below its inverse there is nothing that a page could show.
_LARGEST = 1e100
#: From here on three decimals are hundreds of digits that nobody reads.
_HUGE = 1e6
_SUMMARY_NOTE = (
    "Numbers are clipped at the 1st and 99th percentile of the reference and rounded to three digits, so that no value "
    "of a single client is shown. Means, deviations and counts of unique values are those of the clipped numbers."
)


class SummaryNote(MetricContainer):  # type: ignore[misc] # evidently's classes are untyped here
    """Says on the page what was done to its numbers."""

    def generate_metrics(self, _context: Any) -> Sequence[Any]:
        """No metric: there is nothing to measure."""
        return []

    def render(self, _context: Any, _child_widgets: Any = None) -> list[Any]:
        """Put the note above what follows."""
        return [text_widget(text=_SUMMARY_NOTE)]


@dataclass(frozen=True)
class Distance:
    """Evidently's figure for one column and whether it calls that drift."""

    value: float
    drifted: bool


@dataclass(frozen=True)
class Chart:
    """Counts of the rows of two samples in the bins of a column, one entry a bin."""

    title: str
    labels: Sequence[str]
    reference: Sequence[int]
    current: Sequence[int]


def kind_of(table: pa.Table, name: str) -> str:
    """``num`` or ``cat``, as Evidently abbreviates."""
    return "num" if is_number(column(table, name)) else "cat"


def sample(table: pa.Table, name: str, kind: str) -> pd.Series[Any]:
    """Values of one column as Evidently's tests want them: finite numbers or texts, without the missing ones."""
    values = column(table, name)
    if kind == "num":
        numbers = to_floats(values)
        return pd.Series(numbers[np.isfinite(numbers)])
    texts: pd.Series[Any] = values.cast(pa.string()).drop_null().to_pandas()
    return texts


def distance(reference: pd.Series[Any], current: pd.Series[Any], kind: str) -> Distance | None:
    """Evidently's distance of two samples that have values; None where it is not finite or cannot be calculated."""
    try:
        # Or else a deviation that overflows makes every distance zero.
        with np.errstate(over="raise", invalid="raise"):
            result = TESTS[kind](reference, current, ColumnType(kind), THRESHOLD)
    except (ArithmeticError, ValueError):
        return None
    # Evidently sums over categories in the order of a set: the last digit differs from process to process, and the
    # hash of a stored result must not.
    value = round(float(result.drift_score), 12)
    return Distance(value, bool(result.drifted)) if math.isfinite(value) else None


def can_be_binned(values: pd.Series[Any]) -> bool:
    """Whether the range of some numbers can be divided: not when they are nearly equal, or further apart than floats.

    Evidently's own report of such a column ends in an error of numpy.
    """
    try:
        with np.errstate(all="ignore"):
            edges = np.histogram_bin_edges(values, bins=_BARS)
    except ValueError:
        return False
    return bool(np.isfinite(edges).all())


def short(value: float) -> str:
    """Write a distance for a page: three decimals, or three digits where it is huge."""
    return f"{value:.3f}" if value < _HUGE else f"{value:.3g}"


def page(
    headline: Mapping[str, str], columns: Sequence[str], rows: Iterable[Sequence[str]], charts: list[Chart]
) -> str:
    """Give the page of a day: headline, a table of all columns, then one chart a column."""
    counters = [CounterData(label, value) for label, value in headline.items()]
    top = [counter(counters=counters), table_data(column_names=columns, data=rows, title="Columns")]
    html: str = render_widgets([group_widget(title="", widgets=[*top, *map(_drawn, charts)])])
    return html


def summary(current: pa.Table, reference: pa.Table, names: Sequence[str]) -> str:
    """Evidently's summary of some columns of two tables side by side, of clipped and rounded numbers."""
    kinds = {name: kind_of(current, name) for name in names}
    current, reference = _without_single_values(current, reference, kinds)
    snapshot = Report([SummaryNote(), DataSummaryPreset()]).run(dataset(current, kinds), dataset(reference, kinds))
    html: str = snapshot.get_html_str(as_iframe=False)
    return html


def dataset(table: pa.Table, kinds: Mapping[str, str]) -> Dataset:
    """Columns of a table as Evidently's reports want them, their kinds declared so that none is guessed."""
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


def empty_page(message: str) -> str:
    """Page for a day that Evidently cannot report on, in place of its report."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift</title></head>'
        f'<body style="font-family: sans-serif; margin: 3rem"><h1>Drift</h1><p>{message}</p></body></html>\n'
    )


def _drawn(chart: Chart) -> Any:
    filled = [one for one in zip(chart.labels, chart.reference, chart.current, strict=True) if one[1] or one[2]]
    labels, reference, current = zip(*filled, strict=True)
    # By position: two edges may be rounded to the same label.
    places = list(range(len(labels)))
    bars = [
        {
            "type": "bar",
            "name": side,
            "x": places,
            "y": [count / (sum(counts) or 1) for count in counts],
            "marker": {"color": _COLOURS[side]},
        }
        for side, counts in (("reference", reference), ("current", current))
    ]
    layout = {
        "barmode": "group",
        "xaxis": {"tickmode": "array", "tickvals": places, "ticktext": list(labels)},
        "yaxis": {"title": {"text": "share of rows"}, "tickformat": ".0%"},
    }
    return plotly_graph(graph_data=GraphData(chart.title, data=bars, layout=layout))


def _without_single_values(
    current: pa.Table, reference: pa.Table, kinds: Mapping[str, str]
) -> tuple[pa.Table, pa.Table]:
    """Clip and round the numbers of two tables, by the values of the second."""
    for name, kind in kinds.items():
        known = to_floats(column(reference, name)) if kind == "num" else np.empty(0)
        known = known[np.isfinite(known)]
        if known.size:
            low, high = np.quantile(known, _CLIPPED_SHARES, method="inverted_cdf").clip(-_LARGEST, _LARGEST)
            current, reference = (
                table.set_column(
                    table.column_names.index(name),
                    name,
                    pa.array(_rounded(to_floats(table.column(name)).clip(low, high)), from_pandas=True),
                )
                for table in (current, reference)
            )
    return current, reference


def _rounded(numbers: Floats) -> Floats:
    """Round to so many significant digits; NaN stays NaN."""
    there = np.abs(numbers) >= 1 / _LARGEST
    scales = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(numbers, where=there, out=np.ones_like(numbers)))))
    rounded: Floats = np.where(there, np.round(numbers * scales) / scales, np.where(np.isnan(numbers), np.nan, 0.0))
    return rounded
