"""Which landing days are new or changed: one answer for sensors and schedules, so that nothing is made twice."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from credit_default.defs.history import newest
from credit_default.resources.ports import Storage

#: A folder that changed less than this many seconds ago may still be written to.
SETTLING_SECONDS = 3.0
#: How many days one look fingerprints: half of them the newest, half of them from among the others.
DAYS_A_LOOK = 200
#: How many days one tick may ask for.
DAYS_A_REQUEST = 62

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"


#: Assets of a day, and the assets that each is made from.
Chain = Mapping[str, Sequence[str]]


@dataclass
class Found:
    """What a look at the landing folder found.

    ``pending`` maps each day that has to be made to the fingerprint of its files; ``seen`` holds the days that
    are dealt with; ``unusable`` names the entries that are no day of ours and why; ``settling`` the days that
    are still being written to.
    """

    pending: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    settling: list[str] = field(default_factory=list)


def look(
    instance: dg.DagsterInstance,
    storage: Storage,
    *,
    folder: str,
    asset: str,
    chain: Chain,
    start: date,
    seen: dict[str, str],
    busy: set[str],
    settling_seconds: float = SETTLING_SECONDS,
) -> Found:
    """Compare the landing folder with what was made of it.

    Parameters
    ----------
    folder
        Key below which each day has a sub-folder.
    asset
        The asset that takes the files in; its materialisations carry the fingerprint they were made from.
    chain
        What is made of a day after that: each asset and its sources. A day is dealt with once the whole chain is,
        so that one which failed half-way is found again.
    seen
        Fingerprints that an earlier look had dealt with; losing them costs look-ups and nothing else.
    busy
        Days that a run is at work on.
    settling_seconds
        How long files must have been left alone before they count as whole.
    """
    found = Found()
    today = datetime.now(UTC).date()
    days = []
    for entry in storage.entries(folder):
        problem = _problem(entry.name, entry.is_folder, start, today)
        if problem is None:
            days.append(entry.name)
        elif not entry.name.startswith((".", "_")):
            found.unusable[entry.name] = problem
    looked_at = _some_of(days)
    changes = storage.changes(folder, looked_at)
    for day in looked_at:
        change = changes.get(day)
        if change is None:
            continue
        fingerprint = change.fingerprint
        if seen.get(day) == fingerprint:
            found.seen[day] = fingerprint
        elif day in busy:
            continue
        elif change.seconds_ago < settling_seconds:
            found.settling.append(day)
        elif _dealt_with(instance, asset, chain, day, fingerprint):
            found.seen[day] = fingerprint
        else:
            found.pending[day] = fingerprint
    return found


def busy_days(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Return the days that runs of a job are queued for, work on, or have not stopped working on yet."""
    waiting = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=waiting))
    return {day for run in runs for day in _days_of(run.tags)}


def model_is_live(instance: dg.DagsterInstance) -> bool:
    """Whether there is anything to score with."""
    return instance.get_latest_materialization_event(dg.AssetKey("batch_deployment")) is not None


def share(pending: Mapping[str, str]) -> dict[str, str]:
    """Return the oldest days, as many as one tick may ask for; the next ticks find the others."""
    return dict(sorted(pending.items())[:DAYS_A_REQUEST])


def requests(
    days: Mapping[str, str], *, why: str, tags: Mapping[str, str], only: Sequence[str] = ()
) -> list[dg.RunRequest]:
    """Ask for runs: one for each unbroken stretch of days.

    Parameters
    ----------
    days
        Each day and what it is made for, the fingerprint of its files or the moment of the tick. The same stretch
        for the same reason has the same run key, and so one run.
    why
        Kept with the run.
    tags
        Further tags.
    only
        The assets of the job that are wanted, when it is not all of them.
    """
    return [
        dg.RunRequest(
            run_key=_run_key(first, last, days),
            tags={**tags, "credit_default/why": why, RANGE_START: first, RANGE_END: last},
            asset_selection=[dg.AssetKey(asset) for asset in only] or None,
        )
        for first, last in stretches(days)
    ]


def stretches(days: Iterable[str]) -> list[tuple[str, str]]:
    """Return first and last day of each unbroken stretch, in order."""
    found: list[tuple[str, str]] = []
    for day in sorted(set(days)):
        if found and date.fromisoformat(day) - date.fromisoformat(found[-1][1]) == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def told(days: Iterable[str]) -> str:
    """Name days in words, a stretch at a time."""
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in stretches(days))


def _run_key(first: str, last: str, days: Mapping[str, str]) -> str:
    reasons = "\n".join(days[day] for day in _stretch(first, last))
    return f"{first}..{last}:{hashlib.sha256(reasons.encode()).hexdigest()[:16]}"


def _stretch(first: str, last: str) -> Iterator[str]:
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        yield day.isoformat()
        day += timedelta(days=1)


def _days_of(tags: Mapping[str, str]) -> list[str]:
    if RANGE_START in tags:
        return list(_stretch(tags[RANGE_START], tags[RANGE_END]))
    return [tags[PARTITION]] if PARTITION in tags else []


def _problem(name: str, is_folder: bool, start: date, today: date) -> str | None:  # noqa: FBT001 - one fact of two
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return "not a day; expected a folder named YYYY-MM-DD"
    if day.isoformat() != name:
        return "not a day; expected a folder named YYYY-MM-DD"
    if not is_folder:
        return "a file; expected a folder with files in it"
    if day < start:
        return f"before the first day, {start} (CREDIT_DEFAULT_START)"
    if day > today:
        return f"after today, {today} (UTC)"
    return None


def _some_of(days: list[str]) -> list[str]:
    """Return the newest days, and a part of the older ones that is another each time."""
    half = DAYS_A_LOOK // 2
    older, recent = days[:-half], days[-half:]
    if not older:
        return recent
    # By chance: a turn that followed the clock could be the same each day for a schedule.
    start = random.randrange(len(older))  # noqa: S311 - no secret
    return [*(older + older)[start : start + min(half, len(older))], *recent]


def _dealt_with(instance: dg.DagsterInstance, asset: str, chain: Chain, day: str, fingerprint: str) -> bool:
    """Whether a day was made from these very files, and all that follows from it was made after that."""
    taken_in = newest(instance, asset, day)
    made = taken_in.asset_materialization if taken_in is not None else None
    value = made.metadata.get("landing_fingerprint") if made is not None else None
    if value is None or value.value != fingerprint:
        return False
    places = {name: record.storage_id for name in _names(chain) if (record := newest(instance, name, day))}
    return all(places.get(last, -1) > places.get(source, -1) for last, sources in chain.items() for source in sources)


def _names(chain: Chain) -> set[str]:
    return {*chain, *(source for sources in chain.values() for source in sources)}
