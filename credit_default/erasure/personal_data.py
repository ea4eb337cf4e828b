"""Places that hold personal data: what each holds, how a client is found there, and how one can be erased.

One list for `credit-default erase`, for SECURITY.md and for the next folder that is added: a test keeps it complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from credit_default.core import lake

Root = Literal["lake", "home"]


class Search(Enum):
    """A way to find the rows of a client in the files of a place."""

    LANDED = "by the id column of each file, and by whatever looks like one"
    TABLE = "by `client_id`"
    REJECTED = "by the ids in the rows as they came"
    MODEL = "by rows that equal the client's in every feature: they hold no ids"
    MIXED = "tables, refused rows and models, each as above"
    SEALED = "by opening the messages with the private key"
    NONE = "not at all"


@dataclass(frozen=True)
class Place:
    """A folder with personal data.

    Attributes
    ----------
    key
        Below the lake, or below the home.
    erase
        What to do there to erase a client, or why nothing can be done.
    breaks
        What stops being true when a file there is changed: a version of a model, say. Empty when nothing does.
    """

    key: str
    holds: str
    search: Search
    erase: str
    root: Root = "lake"
    breaks: str = ""


_LAND_AGAIN = "remove the rows from the files, or the files; what was made of them is made again"
_MADE_AGAIN = "made again, without the client, once the files have changed that it is made of"
_REMOVE = "remove the files: `trace` of the predictions that they explain then finds them missing"
_VERSION = "a registered version: its files are hashed"
_RETRAIN = "train again without the client, let that version go live, then remove the folder and its version"

PLACES = (
    Place(lake.LANDED_CURATED, "training data of your own, as it came", Search.LANDED, _LAND_AGAIN),
    Place(lake.LANDED_INFERENCE, "clients to score, as they came", Search.LANDED, _LAND_AGAIN),
    Place(lake.LANDED_OUTCOMES, "outcomes, as they came", Search.LANDED, _LAND_AGAIN),
    Place(lake.INFERENCE_DATA, "accepted clients of each day", Search.TABLE, _MADE_AGAIN),
    Place(lake.OUTCOMES, "accepted outcomes of each day", Search.TABLE, _MADE_AGAIN),
    Place(lake.PREDICTIONS, "a probability for each client of a day", Search.TABLE, _MADE_AGAIN),
    Place(lake.QUARANTINE, "refused rows, as they came", Search.REJECTED, _MADE_AGAIN),
    Place(lake.superseded(lake.INFERENCE_DATA), "tables that others replaced", Search.TABLE, _REMOVE),
    Place(lake.superseded(lake.OUTCOMES), "tables that others replaced", Search.TABLE, _REMOVE),
    Place(lake.superseded(lake.PREDICTIONS), "predictions that others replaced", Search.TABLE, _REMOVE),
    Place(lake.CURATED_DATA, "training rows (those of the bundled table are public)", Search.TABLE, _MADE_AGAIN),
    Place(lake.PREPARED, "training rows by set", Search.TABLE, _RETRAIN, breaks=_VERSION),
    Place(lake.MODELS, "reference and golden rows of each model", Search.MODEL, _RETRAIN, breaks=_VERSION),
    Place(lake.TAKEN, "on Azure: models on their way from the shared registry", Search.MODEL, "remove the folder"),
    Place(
        lake.DATA_ASSETS,
        "on Azure: tables of clients as versions of data assets",
        Search.TABLE,
        "archive the version in the workspace and remove its folder",
        breaks="a version of a data asset",
    ),
    Place(lake.JOBS, "on Azure: what jobs left behind", Search.MIXED, "goes with retention; or remove the folder"),
    Place(
        lake.DRIFT,
        "figures, and reports with histograms of each day's clients",
        Search.NONE,
        "reports go with retention; figures and histograms name no client",
    ),
    Place(
        lake.DATA_QUALITY,
        "reports with histograms of training rows",
        Search.NONE,
        "histograms name no client; remove the folder with the version",
    ),
    Place(
        lake.STAGING, "files of a publication that was broken off", Search.MIXED, "remove the files while nothing runs"
    ),
    Place(
        "jobs",
        "what jobs on this machine left behind",
        Search.MIXED,
        "goes with retention; or remove the folder",
        "home",
    ),
    Place(
        "telemetry",
        "clients that online endpoints were asked about, sealed",
        Search.SEALED,
        "on this machine remove the lines; Azure Monitor purges by its own API or at the end of its retention",
        "home",
    ),
)

#: Top folders that hold none, and why.
WITHOUT = {
    "lake": {
        lake.LOCKS: "empty files",
        lake.PUBLISHED: "names of folders",
        "comparisons": "figures of models",
        "dagster": "what steps print: no values of rows",
        lake.ENDPOINTS: "versions",
        lake.PERFORMANCE: "figures of days",
        lake.REFUSED: "names of days and files",
        lake.RETENTION: "keys of files and dates",
        lake.TAKEN_IN: "hashes",
        lake.VERDICTS: "figures of models",
    },
    "home": {
        "dagster": "runs, events and what steps print: names of files and columns, no values of rows",
        "lake": "see the places in it",
        "mlflow": "figures, parameters and plots of trainings",
    },
}


def as_markdown() -> str:
    """Return the list as SECURITY.md shows it."""
    rows = ["| place | holds | a client is found | to erase |", "|---|---|---|---|"]
    for place in PLACES:
        folder = f"`{place.key}/`" + (" in the home" if place.root == "home" else "")
        erase = f"breaks {place.breaks}; {place.erase}" if place.breaks else place.erase
        rows.append(f"| {folder} | {place.holds} | {place.search.value} | {erase} |")
    return "\n".join(rows) + "\n"
