"""The columns of each table, for the asset pages; the compute plane's schemas are made from the same source."""

from __future__ import annotations

from credit_default.core import schema

Column = tuple[str, str, str]

IDENTITY: list[Column] = [
    (schema.CLIENT_ID, "string", "Client, by the id column of the file or by day, file name and row")
]
ORIGIN: list[Column] = [
    (schema.SOURCE_FILE, "string", "File that the row came in"),
    (schema.SOURCE_ROW, "int32", "Number of the row in that file, from 1"),
]
FEATURES: list[Column] = [
    (feature.name, "string" if feature.kind == "category" else "double", feature.description)
    for feature in schema.FEATURES
]
TARGET: list[Column] = [(schema.TARGET, "int8", "1 when the client defaulted in the month after")]

CURATED = [
    *IDENTITY,
    (schema.AS_OF, "date", "Day the row was scored; empty for training files"),
    *FEATURES,
    *TARGET,
    *ORIGIN,
]
PREPARED = [
    *IDENTITY,
    (schema.AS_OF, "date", "Day the row was scored; empty for training files"),
    *FEATURES,
    *TARGET,
]
INFERENCE = [*IDENTITY, *FEATURES, *ORIGIN]
OUTCOMES = [*IDENTITY, *TARGET, *ORIGIN]
PREDICTIONS: list[Column] = [
    ("prediction_id", "string", "Names the prediction; ends with the row's number in the day's inference_data"),
    *IDENTITY,
    (schema.AS_OF, "date", "The day"),
    ("probability_of_default", "double", "Calibrated probability of default (PD) next month"),
    ("predicted_default", "bool", "Whether the PD reaches the model's threshold"),
    ("model_name", "string", "Registered model"),
    ("model_version", "string", "Its version"),
    ("model_sha256", "string", "sha256 of the model file"),
    ("input_data_version", "string", "Data version of the day's inference_data"),
    ("run_id", "string", "Dagster run that scored the row"),
    ("scored_at", "timestamp", "When, in UTC"),
]
