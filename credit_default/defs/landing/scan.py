"""Which landing days are new or changed: one answer for sensors and schedules, so that nothing is made twice."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from credit_default.core.days import parse_day
from credit_default.core.files.companions import is_companion, is_hidden
from credit_default.core.plurals import plural, verb
from credit_default.core.printable import MAX_NAMES, printable
from credit_default.core.sentences import sentence
from credit_default.defs.landing import refusals
from credit_default.defs.landing.refusals import Chain
from credit_default.defs.shared.history import figure, newest
from credit_default.pipes.run_statuses import UNDER_WAY
from credit_default.ports import DirEntry, Storage

#: A folder that changed less than this many seconds ago may still be written to.
QUIET_PERIOD = 3.0
#: How many days one look fingerprints: half of them the newest, half of them from among the others.
DAYS_A_LOOK = 200
#: How many days one tick may ask for.
DAYS_A_REQUEST = 62

#: Metadata of a materialisation: the fingerprint of the files that it was made from.
FINGERPRINT = "landing_fingerprint"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

#: Length of the fingerprints that earlier versions of this program recorded: the beginning of the present ones.
_SHORT = 16


@dataclass
class LandingScan:
    """What a look at the landing folder found.

    ``pending`` maps each day that has to be made to the fingerprint of its files; ``seen`` holds the days that
    are dealt with; ``unusable`` names the entries that are no day of ours, or a day that cannot be read, and why;
    ``settling`` the days that are still being written to; ``refused`` the days for which a step was given up, and why;
    ``changed`` the days of ``seen`` that are not as they were then and cannot be asked for now, with their state.
    """

    pending: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    settling: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    def left_alone(self) -> tuple[dict[str, str], int]:
        """Return the first entries that are left alone until somebody does something, and how many more there are.

        Days come first. Ticks are kept, and somebody may unpack thousands of files here.
        """
        entries = sorted(
            {**self.refused, **self.unusable}.items(), key=lambda entry: (parse_day(entry[0]) is None, entry)
        )
        return dict(entries[:MAX_NAMES]), max(len(entries) - MAX_NAMES, 0)

    def problems(self) -> list[str]:
        """Describe the entries that are left alone."""
        named, more = self.left_alone()
        return [*(f"{name}: {problem}" for name, problem in named.items()), *_and_more(more)]


def warn_of(found: LandingScan, folder: str, log: Any) -> None:
    """Log a warning for each entry that is left alone."""
    named, more = found.left_alone()
    for problem in (*(f"{name} is left alone: {problem}" for name, problem in named.items()), *_and_more(more)):
        log.warning(sentence(f"{folder}/{problem}"))


def _and_more(count: int) -> list[str]:
    return [f"{plural(count, 'more entry', 'more entries')} {verb(count, 'is', 'are')} left alone"] if count else []


def scan_landing(
    instance: dg.DagsterInstance,
    storage: Storage,
    *,
    folder: str,
    asset: str,
    chain: Chain,
    start: date,
    seen: dict[str, str],
    busy: set[str],
    quiet_period: float = QUIET_PERIOD,
) -> LandingScan:
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
    quiet_period
        How long files must have been left alone before they count as whole.
    """
    found = LandingScan()
    days = _days_in(storage, folder, start, found)
    looked_at = _some_of(days)
    changes = storage.changes(folder, looked_at)
    refused = set(refusals.find(storage, asset))
    for day, change in ((day, changes[day]) for day in looked_at if day in changes):
        fingerprint = change.fingerprint
        if change.problem is not None:
            found.unusable[day] = change.problem
        elif day in busy:
            pass
        elif day in refused and (
            reason := refusals.reason(instance, storage, asset, chain, day=day, fingerprint=fingerprint)
        ):
            found.refused[day] = reason
        elif seen.get(day) == fingerprint:
            found.seen[day] = fingerprint
        elif change.seconds_ago < quiet_period:
            found.settling.append(day)
        elif _dealt_with(instance, asset, chain, day, fingerprint):
            found.seen[day] = fingerprint
        else:
            found.pending[day] = fingerprint
        if seen.get(day, fingerprint) != fingerprint and day not in {**found.seen, **found.pending}:
            # Files may change back before the day can be asked for, when a run has failed on what it found meanwhile.
            found.changed[day] = f"changed: {change.problem or fingerprint}"
    found.changed |= dict.fromkeys(seen.keys() - set(days), "changed: gone")
    return found


def _days_in(storage: Storage, folder: str, start: date, found: LandingScan) -> list[str]:
    """Return the days that have a folder, and put the other entries among the unusable."""
    today = datetime.now(UTC).date()
    days = []
    for entry in storage.entries(folder):
        problem = _problem(entry, start, today)
        if problem is None:
            days.append(entry.name)
        elif not is_hidden(entry.name) and not is_companion(entry.name):
            found.unusable[printable(entry.name)] = problem
    return days


def busy_days(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Return the days that runs of a job are queued for, work on, or have not stopped working on yet."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(UNDER_WAY)))
    return {day for run in runs for day in _days_of(run.tags)}


def model_is_live(instance: dg.DagsterInstance) -> bool:
    """Whether there is anything to score with."""
    return instance.get_latest_materialization_event(dg.AssetKey("batch_deployment")) is not None


def change_ids(
    instance: dg.DagsterInstance, asset: str, pending: Mapping[str, str], asked: Mapping[str, str]
) -> dict[str, str]:
    """Return what tells the change of each day from every other one: its files, and what was before.

    The fingerprint alone would not do: once a file that came later is withdrawn, the day has one that it had before.
    What was before is what the day was made into, and the state by which it was ``asked`` for since, if that failed.
    """
    return {day: f"{fingerprint} after {_before(instance, asset, day, asked)}" for day, fingerprint in pending.items()}


def _before(instance: dg.DagsterInstance, asset: str, day: str, asked: Mapping[str, str]) -> str:
    record = newest(instance, asset, day)
    before, made_of = ("nothing", "") if record is None else (str(record.storage_id), figure(record, FINGERPRINT))
    state = asked.get(day)
    return before if state is None or same_files(made_of, state) else f"{before} and {state}"


def same_files(recorded: object, fingerprint: str) -> bool:
    """Whether a recorded fingerprint, perhaps by an earlier version of this program, is that of these files."""
    if recorded == fingerprint:
        return True
    return isinstance(recorded, str) and len(recorded) == _SHORT and fingerprint.startswith(recorded)


def given_up(instance: dg.DagsterInstance, storage: Storage, asset: str, chain: Chain) -> set[str]:
    """Return the days that a step was given up for, and whose table was not made of other files since."""
    found = set()
    for day in refusals.find(storage, asset):
        record = newest(instance, asset, day)
        fingerprint = str(figure(record, FINGERPRINT)) if record is not None else ""
        if refusals.reason(instance, storage, asset, chain, day=day, fingerprint=fingerprint):
            found.add(day)
    return found


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
        Each day and what it is made for, the change of its files or the moment of the tick. The same stretch for the
        same reason has the same run key, and so one run.
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


def format_days(days: Iterable[str]) -> str:
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


def _problem(entry: DirEntry, start: date, today: date) -> str | None:
    day = parse_day(entry.name)
    if day is None:
        return "not a day; expected a folder named YYYY-MM-DD"
    if entry.is_link:
        return "a link, and links are not followed; expected the folder itself"
    if not entry.is_folder:
        return "not a folder; expected a folder with files in it"
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
    record = newest(instance, asset, day)
    if record is None:
        return not fingerprint  # a folder without data, of which nothing was ever made
    if not same_files(figure(record, FINGERPRINT), fingerprint):
        return False
    places = {name: record.storage_id for name in _names(chain) if (record := newest(instance, name, day))}
    return all(places.get(last, -1) > places.get(source, -1) for last, sources in chain.items() for source in sources)


def _names(chain: Chain) -> set[str]:
    return {*chain, *(source for sources in chain.values() for source in sources)}
