"""What is told to whoever watches: rows of Application Insights' tables, made of stored results.

Light on purpose: the orchestration plane builds these from a stored result, so nothing heavy is imported.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

OVERALL = "OverallDriftMetrics"
FEATURES = "FeatureDriftMetrics"
ACCEPTED = "AcceptedRows"
JOINED = "JoinedOutcomes"
EVENT_KEY = "event_key"
#: Before the name of every custom metric.
PREFIX = "credit_default"
#: Column ``cloud_RoleName`` of every record: the program that sent it.
CLOUD_ROLE = "credit-default"
#: Column ``operation_Id`` of every record: none is part of a distributed operation.
NO_OPERATION = "0" * 32

#: Application Insights cuts a trace's message here, which would leave half a JSON document.
LONGEST_MESSAGE = 32_768
#: Severity of a day by the verdict on its accepted share.
_SEVERITIES = {"ok": 1, "warning": 2, "error": 3}


@dataclass(frozen=True)
class TraceRecord:
    """One row of Application Insights' ``traces`` table.

    Attributes
    ----------
    message
        What happened, as JSON. Names and figures, never values of rows.
    severity_level
        0 verbose, 1 information, 2 warning, 3 error, 4 critical (Application Insights' scale).
    custom_dimensions
        Names and values to filter by; both strings. ``event_key`` among them tells two records apart.
    """

    message: str
    severity_level: int = 1
    custom_dimensions: Mapping[str, str] = field(default_factory=dict)

    table: ClassVar[str] = "traces"

    @property
    def key(self) -> str:
        """What makes this record itself: equal keys are one record, however often it is sent."""
        return self.custom_dimensions.get(EVENT_KEY) or _digest(self.message)

    def row(self) -> dict[str, Any]:
        """Return the columns of the table, but for when and the dimensions."""
        return {"message": self.message, "severityLevel": self.severity_level}


@dataclass(frozen=True)
class Measurement:
    """One row of Application Insights' ``customMetrics`` table: a figure at a moment.

    Attributes
    ----------
    name
        Of the metric, such as ``credit_default/rows_scored``.
    custom_dimensions
        What it is about: ``partition``, ``model_version``, ``feature``.
    """

    name: str
    value: float
    custom_dimensions: Mapping[str, str] = field(default_factory=dict)

    table: ClassVar[str] = "customMetrics"

    @property
    def key(self) -> str:
        """What makes this record itself; equal figures about the same are one record."""
        about = {name: value for name, value in self.custom_dimensions.items() if name != "run_id"}
        return about.get(EVENT_KEY) or _digest(json.dumps([self.name, self.value, about], sort_keys=True))

    def row(self) -> dict[str, Any]:
        """Return the columns of the table, but for when and the dimensions."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True)
class Failure:
    """One row of Application Insights' ``exceptions`` table: a run that failed.

    Attributes
    ----------
    kind
        Class of the error.
    message
        What it said; our own errors name no values of rows.
    custom_dimensions
        ``run_id``, ``job``, ``step``.
    """

    kind: str
    message: str
    custom_dimensions: Mapping[str, str] = field(default_factory=dict)
    severity_level: int = 3

    table: ClassVar[str] = "exceptions"

    @property
    def key(self) -> str:
        """What makes this record itself: a run fails once."""
        about = dict(self.custom_dimensions)
        return about.get(EVENT_KEY) or _digest(json.dumps([self.kind, self.message, about], sort_keys=True))

    def row(self) -> dict[str, Any]:
        """Return the columns of the table, but for when and the dimensions."""
        return {"type": self.kind, "outerMessage": self.message, "severityLevel": self.severity_level}


Record = TraceRecord | Measurement | Failure


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _finite(value: Any) -> Any:
    """Return ``value`` with null for NaN and infinities, which JSON does not know and KQL cannot read."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def result_hash(result: Mapping[str, Any]) -> str:
    """Return 32 hex digits that are equal for equal results, whatever the order of their keys."""
    return _digest(json.dumps(_finite(result), sort_keys=True, allow_nan=False))


def _message(model_name: str, kind: str, data: Any) -> str:
    return json.dumps({"model_name": model_name, "type": kind, "data": data}, allow_nan=False)


def _feature_messages(model_name: str, features: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield messages that are short enough; a query that expands `data` sees the same rows either way."""
    message = _message(model_name, FEATURES, features)
    if len(message) <= LONGEST_MESSAGE or len(features) < 2:  # noqa: PLR2004 - one feature cannot be halved
        yield message
        return
    half = len(features) // 2
    yield from _feature_messages(model_name, features[:half])
    yield from _feature_messages(model_name, features[half:])


def measurements(figures: Mapping[str, Any], about: Mapping[str, Any]) -> list[Measurement]:
    """Turn figures of a stored result into custom metrics; what is no finite number is left out.

    Parameters
    ----------
    figures
        Name of the metric to its value.
    about
        Dimensions: what the figures are about.
    """
    dimensions = {name: str(value) for name, value in about.items() if value is not None}
    return [
        Measurement(f"{PREFIX}/{name}", float(value), dimensions)
        for name, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def acceptance_record(
    model_name: str, result: Mapping[str, Any], *, dataset: str, partition: str, run_id: str
) -> TraceRecord:
    """Turn the figures of what landed for a day into its record: how many rows were accepted, and the verdict on that.

    Parameters
    ----------
    run_id
        The first run of those that retry each other. Another one sends the same figures again: they may have been
        others in between, and the newest count.
    """
    figures = {name: result[name] for name in ("rows", "accepted", "rejected", "accepted_share", "acceptance")}
    about = {"dataset": dataset, "partition": partition, "run_id": run_id}
    return TraceRecord(
        _message(model_name, ACCEPTED, {**figures, **about}),
        severity_level=_SEVERITIES[result["acceptance"]],
        custom_dimensions={
            EVENT_KEY: _digest(f"{ACCEPTED}/{dataset}/{partition}/{run_id}/{result_hash(figures)}"),
            "type": ACCEPTED,
            "dataset": dataset,
            "partition": partition,
        },
    )


def joining_record(model_name: str, result: Mapping[str, Any], *, partition: str, run_id: str) -> TraceRecord:
    """Turn the figures of a day's outcomes into their record: how many have a prediction, and whether hardly any has.

    ``run_id`` is that of `acceptance_record`.
    """
    figures = {name: result.get(name) for name in ("n_predictions", "n_outcomes", "n_joined", "joined_share")}
    figures["hardly_joined"] = bool(result.get("warning"))
    about = {"partition": partition, "model_version": result.get("model_version"), "run_id": run_id}
    return TraceRecord(
        _message(model_name, JOINED, {**figures, **about}),
        severity_level=_SEVERITIES["warning" if figures["hardly_joined"] else "ok"],
        custom_dimensions={
            EVENT_KEY: _digest(f"{JOINED}/{partition}/{run_id}/{result_hash(figures)}"),
            "type": JOINED,
            "partition": partition,
        },
    )


def drift_measurements(drift: Mapping[str, Any], *, run_id: str | None = None) -> list[Measurement]:
    """Turn a stored drift result into custom metrics: the day's figures, and the distance of each feature."""
    about = {"partition": drift.get("partition"), "model_version": drift.get("model_version"), "run_id": run_id}
    overall = drift["overall"]
    day = {name: overall.get(name) for name in ("n_drifted_features", "share_drifted_features", "psi")}
    day["violation"] = int(bool(overall.get("violation", drift.get("violation"))))
    return [
        *measurements(day, about),
        *(
            measurement
            for feature in drift["features"]
            for measurement in measurements(
                {"drift_score": feature.get("drift_score")}, {**about, "feature": feature["feature_name"]}
            )
        ),
    ]


def drift_records(drift: Mapping[str, Any], *, run_id: str | None = None) -> list[TraceRecord]:
    """Turn a stored drift result into its records.

    Parameters
    ----------
    drift
        The content of a ``drift.json``: ``partition``, ``model_name``, ``model_version``, ``overall`` (the
        dataset's figures) and ``features`` (a list with each feature's).
    run_id
        The Dagster run that stored it. It is shown, and is no part of the key: a second run over the same
        result makes the same records.

    Returns
    -------
    list of TraceRecord
        ``OverallDriftMetrics``, then ``FeatureDriftMetrics``: one record each, the second in parts if it
        would be longer than Application Insights keeps.
    """
    result = _finite(drift)
    about = {name: result.get(name) for name in ("partition", "model_version")}
    about["run_id"] = run_id or result.get("run_id")
    told = {name: value for name, value in result.items() if name != "run_id"}
    digest = result_hash(told)

    model_name = str(result["model_name"])
    overall = {**result["overall"], **about}
    overall.setdefault("violation", result.get("violation"))
    features = [{**feature, **about} for feature in result["features"]]
    messages = [
        (OVERALL, _message(model_name, OVERALL, overall)),
        *((FEATURES, message) for message in _feature_messages(model_name, features)),
    ]
    return [
        TraceRecord(
            message,
            custom_dimensions={
                EVENT_KEY: _digest(f"{kind}/{part}/{about['partition']}/{digest}"),
                "type": kind,
                "partition": str(about["partition"]),
                "model_version": str(about["model_version"]),
            },
        )
        for part, (kind, message) in enumerate(messages)
    ]
