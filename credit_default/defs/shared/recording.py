"""How what a step stored becomes an event of the asset graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from credit_default.core.plurals import plural
from credit_default.errors import QualityError
from credit_default.ports import StepResult, Storage

Metadata = Mapping[str, Any]


def checks_of(asset: str, stored: StepResult) -> list[dg.AssetCheckResult]:
    """Return a step's data-quality checks as Dagster's."""
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=check["name"],
            passed=check["passed"],
            severity=dg.AssetCheckSeverity[check["severity"]],
            description=check["description"],
            metadata=dict(check["metadata"]),
        )
        for check in stored.checks
    ]


def blocked_by(stored: StepResult) -> QualityError | None:
    """Return an error that names each failed check which forbids publishing, or None."""
    failed = [check for check in stored.checks if not check["passed"] and check["severity"] == "ERROR"]
    if not failed:
        return None
    told = "; ".join(f"{check['name']}: {check['description']}" for check in failed)
    return QualityError(f"Nothing was published, because {plural(len(failed), 'blocking check')} failed. {told}")


def materialised(stored: StepResult, metadata: Metadata) -> dg.MaterializeResult[Any]:
    """Record an asset without partitions."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(stored.data_version), metadata={**metadata, **job_of(stored)}
    )


def job_of(stored: StepResult) -> Metadata:
    """Tell which job made a result, and what the platform knows about it."""
    return {"job": stored.job_name, **stored.job_metadata}


def catalogued(storage: Storage, asset: str, stored: StepResult) -> Metadata:
    """Enter a table into the platform's data catalogue, where there is one, and return its version to be shown.

    What is entered is the job's own file: the published one may be another run's by now.
    """
    version = data_asset_version(stored.partition, stored.data_version)
    entered = storage.catalogue(asset, stored.files["table"], version=version)
    return {"data_asset": f"{asset}:{entered}"} if entered is not None else {}


def data_asset_version(day: str | None, data_version: str) -> str:
    """Return the version of a table in the catalogue: the same for the same content. Azure ML takes 30 characters."""
    return "-".join(filter(None, (day, data_version[:16])))


def check_specs(asset: str, names: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Declare the checks that a step runs before its result is published."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=description, blocking=True)
        for name, description in names.items()
    ]


Events = Iterator[dg.AssetMaterialization | dg.MaterializeResult[Any] | dg.AssetCheckResult]
