"""What online endpoints were asked, day by day, as a file that arrives to be scored and measured like any other."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from credit_default import settings
from credit_default.core import lake
from credit_default.core.defects import as_unexpected
from credit_default.core.plurals import plural
from credit_default.defs.assets.daily import Days, recorded_day
from credit_default.defs.shared import metadata
from credit_default.defs.shared.policies import DAYS, ONE_RUN, spec
from credit_default.defs.shared.recording import Events
from credit_default.errors import CreditDefaultError, PartialAnswer, UnreadableMessage
from credit_default.ports import Storage, Telemetry
from credit_default.settings import COLLECTION_KEY_VARIABLE, MODEL_NAME
from credit_default.telemetry import collection_key
from credit_default.telemetry.records import measurements

if TYPE_CHECKING:
    from credit_default.telemetry.encryption import PrivateKeys
    from credit_default.telemetry.online_rows import OnlineDay

ASSET = "online_inputs"
FILE = "online.parquet"
QUERY = f"traces | where message has '{MODEL_NAME}' and message has 'InputData' | project message"
#: How long after a request telemetry may have been told of it: an endpoint of telemetry that is slow is waited for.
_LATE = timedelta(hours=1)
#: A span that is not halved any more when Azure Monitor answers in part only.
_SHORTEST = timedelta(seconds=1)


@dg.multi_asset(
    name="export_days",
    specs=[
        spec(
            ASSET,
            group="arrivals",
            kinds={"parquet", "python"},
            daily=True,
            description=(
                "The clients that online endpoints were asked about on a day, opened and under pseudonyms, in "
                f"`{lake.LANDED_INFERENCE}/<day>/{FILE}`: from there the day is scored and its drift measured. What "
                "was asked about one client several times counts as it was told last."
            ),
        )
    ],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def export_days(context: dg.AssetExecutionContext, storage: Storage, telemetry: Telemetry) -> Events:
    """Export each day on its own."""
    days = Days(context, storage, ASSET)
    # Only if there is anything to open, and then once.
    keys = cache(lambda: collection_key.private_keys(settings.read()))
    for day in days.remaining:
        key = f"{lake.LANDED_INFERENCE}/{day}/{FILE}"
        try:
            found = _of_day(telemetry, date.fromisoformat(day), keys)
            landed, outcome, version = _land(storage, key, found)
        except CreditDefaultError as error:
            days.failed[day] = f"{ASSET}: {error}"
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the other days along
            days.failed[day] = f"{ASSET}: {as_unexpected(error)}"
            continue
        for told in (*found.unreadable, *((outcome,) if outcome.startswith("kept") else ())):
            context.log.warning(f"{day}: {told}.")
        about = {"partition": day, "run_id": context.run.run_id}
        telemetry.emit(measurements({"online_rows": found.counts["rows"]}, about))
        yield recorded_day(ASSET, day, version, metadata.collected(found.counts, landed, storage.uri(key), outcome))
    days.finish()


def _of_day(telemetry: Telemetry, day: date, keys: "Callable[[], PrivateKeys]") -> "OnlineDay":
    from credit_default.telemetry.online_rows import nothing_asked, online_day

    since = datetime.combine(day, time(), UTC)
    messages = list(collected_messages(telemetry, since, since + timedelta(days=1) + _LATE))
    if not messages:
        return nothing_asked()
    found = online_day(messages, day, keys())
    unreadable = found.counts["unreadable"]
    if unreadable and unreadable == found.counts["messages"]:
        raise UnreadableMessage(
            f"none of {plural(unreadable, 'collected message')} can be read; the first one: {found.unreadable[0]}. "
            f"Expected in {COLLECTION_KEY_VARIABLE} the private key whose public part the endpoint was given, alone or "
            "in a set"
        )
    return found


def collected_messages(telemetry: Telemetry, since: datetime, until: datetime) -> Iterator[str]:
    """Yield the messages of a span, in pieces when there are more than are answered at once; some of them twice."""
    try:
        rows = telemetry.query(QUERY, since=since, until=until)
    except PartialAnswer:
        if until - since <= _SHORTEST:
            raise
        middle = since + (until - since) / 2
        yield from collected_messages(telemetry, since, middle)
        yield from collected_messages(telemetry, middle, until)
    else:
        yield from (row["message"] for row in rows)


def _land(storage: Storage, key: str, found: "OnlineDay") -> tuple[int, str, str]:
    """Let the file of a day arrive; return the number of its rows, what was done, and its version.

    A file that is written again counts as changed, and its day is scored again. Telemetry forgets after a while, so a
    late export of a day finds less than an earlier one did.
    """
    from credit_default.core.tables import content_hash
    from credit_default.telemetry.online_rows import as_file, from_file

    new, version = found.table, content_hash(found.table)
    there = from_file(storage.read(key), key) if storage.exists(key) else None
    if there is None and not new.num_rows:
        return 0, "nothing was asked", version
    if there is not None and content_hash(there) == version:
        return new.num_rows, "unchanged", version
    if there is not None and there.num_rows > new.num_rows:
        told = f"kept what an earlier export holds, {there.num_rows} clients: telemetry has {new.num_rows} of them left"
        return there.num_rows, told, content_hash(there)
    storage.write(key, as_file(new))
    return new.num_rows, "written" if there is None else "replaced", version


ASSETS: list[Any] = [export_days]
