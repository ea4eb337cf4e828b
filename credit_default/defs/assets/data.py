"""Training data: curated, prepared, reported on."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.core.data.check_names import CURATED_CHECKS, PREPARED_CHECKS
from credit_default.core.stored_json import read_object
from credit_default.defs.shared import columns, metadata
from credit_default.defs.shared.history import data_version, newest_id
from credit_default.defs.shared.kills import run_whole
from credit_default.defs.shared.policies import ON_COMPUTE, spec
from credit_default.defs.shared.recording import Events, blocked_by, catalogued, check_specs, checks_of, materialised
from credit_default.ports import Compute, StepResult, Storage


class Preparation(dg.Config):
    """What is kept out of the training."""

    recent_rows: int = Field(
        1_000,
        ge=0,
        description="Rows of the newest labelled days kept apart to compare models on, a fifth of them all at most.",
    )


def current_prepared(storage: Storage) -> str:
    """Return the key of the newest version of ``prepared_data``."""
    remedy = "materialise prepared_data, which writes it anew"
    content = storage.read(lake.PREPARED_POINTER)
    return lake.prepared(read_object(content, lake.PREPARED_POINTER, remedy, data_version=str)["data_version"])


@dg.multi_asset(
    name="curated_data",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "curated_data",
            group="training_data",
            kinds={"parquet", "python"},
            deps=["inference_data", "outcomes"],
            columns=columns.CURATED,
            description=(
                "Labelled clients in the curated schema: the files in `landing/curated/`, or the bundled UCI table "
                "when there are none, plus every scored client whose outcome has arrived. Never made from predictions."
            ),
        )
    ],
    check_specs=check_specs("curated_data", CURATED_CHECKS),
)
def curated_data(context: dg.AssetExecutionContext, compute: Compute, storage: Storage) -> Events:
    """Curate, check, and publish what passes."""
    blocked = None
    inputs = {"landing": lake.LANDED_CURATED, "inference-data": lake.INFERENCE_DATA, "outcomes": lake.OUTCOMES}
    # Scored clients and outcomes come in day by day: each day that is made again is another state of the whole asset.
    arrivals = [newest_id(context.instance, asset) for asset in ("inference_data", "outcomes")]
    versions = [storage.fingerprint(lake.LANDED_CURATED), *arrivals]
    start = partial(compute.run, context, "curated_data", inputs=inputs, versions=versions)
    for message in run_whole(start, log=context.log):
        assert isinstance(message, StepResult)
        yield from checks_of("curated_data", message)
        quarantine = None
        if "quarantine" in message.files:
            quarantine = lake.rejected(lake.CURATED_DATA, datetime.now(UTC).date())
            storage.publish(message.files["quarantine"], quarantine)
        blocked = blocked_by(message)
        if blocked is None:
            key = lake.curated_data()
            storage.publish(message.files["table"], key)
            where = storage.uri(quarantine) if quarantine else None
            about = metadata.curated(message.result, storage.uri(key), where)
            yield materialised(message, {**about, **catalogued(storage, "curated_data", message)})
    if blocked is not None:
        raise blocked


@dg.multi_asset(
    name="prepared_data",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "prepared_data",
            group="training_data",
            kinds={"parquet", "python"},
            deps=["curated_data"],
            columns=columns.PREPARED,
            description=(
                "Development, calibration and test parts, dealt by a hash of the client id so that new rows move no "
                "old one; the newest days, kept apart to compare models on; and the bins of the development sample. "
                "Immutable: one folder for each data version."
            ),
        )
    ],
    check_specs=check_specs("prepared_data", PREPARED_CHECKS),
)
def prepared_data(context: dg.AssetExecutionContext, config: Preparation, compute: Compute, storage: Storage) -> Events:
    """Split and bin, check, and point at the new version once it is whole."""
    blocked = None
    versions = [data_version(context.instance, "curated_data")]
    inputs = {"curated": lake.curated_data()}
    options = {"recent-rows": str(config.recent_rows)}
    start = partial(compute.run, context, "prepared_data", inputs=inputs, options=options, versions=versions)
    for message in run_whole(start, log=context.log):
        assert isinstance(message, StepResult)
        yield from checks_of("prepared_data", message)
        blocked = blocked_by(message)
        if blocked is None:
            key = lake.prepared(message.data_version)
            storage.publish(message.files["prepared"], key)
            storage.write(lake.PREPARED_POINTER, json.dumps({"data_version": message.data_version}).encode())
            yield materialised(message, metadata.prepared(message.result, storage.uri(key)))
    if blocked is not None:
        raise blocked


@dg.multi_asset(
    name="data_quality_report",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "data_quality_report",
            group="training_data",
            kinds={"evidently", "html"},
            deps=["prepared_data"],
            description="Evidently's summary of the development part beside the test part, as a page.",
        )
    ],
)
def data_quality_report(context: dg.AssetExecutionContext, compute: Compute, storage: Storage) -> Events:
    """Report on the newest version of the prepared data."""
    prepared = current_prepared(storage)
    key = lake.quality_report(prepared.rpartition("/")[2])
    start = partial(compute.run, context, "data_quality_report", inputs={"prepared": prepared})
    for message in run_whole(start, log=context.log):
        assert isinstance(message, StepResult)
        storage.publish(message.files["report"], key)
        yield materialised(message, metadata.quality_report(message.result, storage.uri(key)))


ASSETS: list[Any] = [curated_data, prepared_data, data_quality_report]
