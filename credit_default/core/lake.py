"""Names of everything in the lake: its folders, its files, and the functions that make their keys.

A key is a path below the root of the lake, the same in a folder of this machine and in a blob container.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from credit_default.errors import StorageError

#: Where files arrive: training data, clients to score by day, outcomes by day.
LANDING = "landing"
LANDED_CURATED = f"{LANDING}/curated"
LANDED_INFERENCE = f"{LANDING}/inference/batch"
LANDED_OUTCOMES = f"{LANDING}/outcomes"
#: Written beside the sample that a demo lands, so that a demo on a later day goes on with the same days.
LANDED_SAMPLE = f"{LANDING}/.sample.json"

#: Datasets with a table for each day, see `table`.
INFERENCE_DATA, OUTCOMES, PREDICTIONS = "inference_data", "outcomes", "predictions"
CURATED_DATA = "curated_data"
QUARANTINE, REJECTED_FILE = "quarantine", "rejected.csv"
#: Fingerprints of the files that a day's table was made from. Not beside the table: jobs get that folder as an input.
TAKEN_IN = "taken_in"
#: Days that are not to be asked for again before their files change.
REFUSED = "refused"

PREPARED = "prepared"
PREPARED_POINTER = f"{PREPARED}/current.json"
DATA_QUALITY = "data_quality"
DRIFT, DRIFT_FILE = "drift", "drift.json"
PERFORMANCE, PERFORMANCE_FILE = "performance", "performance.json"
REPORT_FILE = "report.html"

MODELS = "models"
TRAINED_POINTER = f"{MODELS}/newest.json"
LEDGER = f"{MODELS}/ledger.jsonl"
VERDICTS = "verdicts"
#: States of endpoints, and what is locked while one is changed.
ENDPOINTS = "endpoints"
#: What retention removed.
RETENTION = "retention"

#: Files in the folder of a model; a version of the prepared data has bins and a manifest, too.
MODEL_FILE = "model.skops"
REFERENCE_FILE = "reference.parquet"
GOLDEN_FILE = "golden.parquet"
BINS_FILE = "bins.json"
MANIFEST_FILE = "manifest.json"

#: On Azure: what jobs leave behind, models on their way from the shared registry, versions of data assets, aliases.
JOBS, TAKEN, DATA_ASSETS, REGISTRY = "jobs", "taken", "data_assets", "registry"
#: How storage works: publications that are under way, folders that were published, and locks.
STAGING, PUBLISHED, LOCKS = ".staging", ".published", ".locks"


def checked_key(key: str) -> str:
    """Return a key that stays below the root of the lake, whichever file, tag or message it comes from.

    Raises
    ------
    StorageError
        It is absolute, climbs with ``..``, or holds a null character.
    """
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise StorageError(
            f"The key {key!a} leads out of the lake; expected one below its root, without '..'; look who wrote it "
            "into a tag of the registry, a manifest or a file of the lake"
        )
    return key


def table_file(name: str) -> str:
    """Return the name of the file of a dataset, or of a set of the prepared data."""
    return f"{name}.parquet"


def table(dataset: str, day: date | str) -> str:
    """Return the key of a day's table."""
    return f"{dataset}/{day}/{table_file(dataset)}"


def inference_data(day: date | str) -> str:
    """Return the key of the accepted clients of a day."""
    return table(INFERENCE_DATA, day)


def predictions(day: date | str) -> str:
    """Return the key of the predictions of a day."""
    return table(PREDICTIONS, day)


def superseded(dataset: str, day: date | str = "") -> str:
    """Return the folder of the tables that others replaced, of all days or of one."""
    return f"superseded_{dataset}/{day}".rstrip("/")


def curated_data() -> str:
    """Return the key of the training table."""
    return f"{CURATED_DATA}/{table_file(CURATED_DATA)}"


def rejected(dataset: str, day: date | str) -> str:
    """Return the key of the rows of a day that were rejected."""
    return f"{QUARANTINE}/{dataset}/{day}/{REJECTED_FILE}"


def taken_in(dataset: str, day: date | str) -> str:
    """Return the key of what a day's table was made from."""
    return f"{TAKEN_IN}/{dataset}/{day}.json"


def refusals(dataset: str) -> str:
    """Return the folder of the refusals of a dataset's days."""
    return f"{REFUSED}/{dataset}"


def refusal(dataset: str, day: date | str) -> str:
    """Return the key of a day's refusal."""
    return f"{refusals(dataset)}/{day}.json"


def prepared(version: str) -> str:
    """Return the folder of a version of the prepared data."""
    return f"{PREPARED}/{version}"


def quality_report(prepared_version: str) -> str:
    """Return the key of the report on a version of the prepared data."""
    return f"{DATA_QUALITY}/{prepared_version}/{REPORT_FILE}"


def model(model_id: str) -> str:
    """Return the folder of a model."""
    return f"{MODELS}/{model_id}"


def verdict(version: str) -> str:
    """Return the key of the verdict on a registered version."""
    return f"{VERDICTS}/{version}.json"


def torn_ledger(sha256: str) -> str:
    """Return where the torn end of the ledger is kept, by the beginning of its hash."""
    return f"{MODELS}/ledger.torn-{sha256}"


def drift(day: date | str) -> str:
    """Return the key of the drift of a day."""
    return f"{DRIFT}/{day}/{DRIFT_FILE}"


def drift_report(day: date | str) -> str:
    """Return the key of the report on the drift of a day."""
    return f"{DRIFT}/{day}/{REPORT_FILE}"


def performance(day: date | str) -> str:
    """Return the key of the performance on a day."""
    return f"{PERFORMANCE}/{day}/{PERFORMANCE_FILE}"


def endpoint(name: str) -> str:
    """Return what is locked while an endpoint is changed."""
    return f"{ENDPOINTS}/{name}"


def endpoint_state(name: str) -> str:
    """Return the key of the state of an endpoint that has no service of its own."""
    return f"{endpoint(name)}.json"


def removals(moment: datetime) -> str:
    """Return the key of the record of what retention removed in a month (UTC)."""
    return f"{RETENTION}/{moment.astimezone(UTC):%Y-%m}.jsonl"


def job(name: str) -> str:
    """Return the folder of everything that a job on Azure leaves behind."""
    return f"{JOBS}/{name}"


def job_output(name: str) -> str:
    """Return the folder of what a job on Azure makes."""
    return f"{job(name)}/output"


def job_messages(name: str) -> str:
    """Return the folder of what a job on Azure reports."""
    return f"{job(name)}/messages"


def taken(name: str, version: str, model_id: str) -> str:
    """Return the folder of a model on its way from the shared registry."""
    return f"{TAKEN}/{name}/{version}-{model_id}"


def data_asset(name: str, version: str, file: str) -> str:
    """Return the key of the file of a version of a data asset."""
    return f"{DATA_ASSETS}/{name}/{version}/{file}"


def aliases(name: str) -> str:
    """Return the key of the aliases of a registered model."""
    return f"{REGISTRY}/{name}/aliases.json"


def published(key: str) -> str:
    """Return the key of the marker that says whether a folder is published whole."""
    return f"{PUBLISHED}/{key}.json"
