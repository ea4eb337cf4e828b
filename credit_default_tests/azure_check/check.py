"""A check from its first stage to its report: bounded in time, and everything removed whatever happens."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

import dagster as dg

from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.errors import CreditDefaultError
from credit_default.pipes.messages import run_part
from credit_default.runs.instance import opened
from credit_default_tests.azure_check import exchange_findings, findings, report
from credit_default_tests.azure_check.asking import Azure
from credit_default_tests.azure_check.guard import MAX_MINUTES, REMOVAL_MINUTES
from credit_default_tests.azure_check.probes import PROBES
from credit_default_tests.azure_check.recording import Recorder
from credit_default_tests.azure_check.removal import Removal, Removed
from credit_default_tests.azure_check.session import Result, Session
from credit_default_tests.azure_check.stages import STAGES, Stage

_AGAIN_SECONDS = 30.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(SystemExit):
    """The time is up, or somebody stopped the check; no part of it catches this."""


def play(
    place: AzureTarget,
    recorder: Recorder,
    *,
    clients: bytes,
    training: bytes,
    say: Callable[[str], None],
    minutes: float = MAX_MINUTES,
) -> tuple[Session, Removed, str]:
    """Play every stage and probe, and remove everything again.

    Parameters
    ----------
    minutes
        All that this may take. What is under way when only the time for the removal is left is cancelled.

    Returns
    -------
    What was done and seen, what was removed, and the report.
    """
    session = Session(place, Azure(place), _best_effort(say), recorder.scrubber.text, clients, training)
    ends = time.monotonic() + 60 * minutes
    why_not = {}
    exchange = Stage(
        "the exchange", partial(exchange_findings.look, recording=recorder.file), (), exchange_findings.KEYS
    )
    removal = Removal(session, partial(_runs, place), logging.getLogger(__name__))
    _runs(place)  # loads Dagster: an import that is broken off leaves a part of it, with which no removal could ask
    with _bounded(60 * minutes - _removal_seconds(minutes)) as disarm:
        try:
            with told_by_azure("looking for the datastore"):
                session.facts["datastore_was_there"] = not place.missing_datastore()
            for stage in (*STAGES, *PROBES, exchange):
                result = _carry_out(session, stage)
                why_not |= dict.fromkeys(stage.keys, result.problem or result.told)
        except SystemExit:
            disarm()
            took = minutes * 60 - (ends - time.monotonic())
            session.stopped = f"after {took:.0f} s, by its time limit or by a signal"
            session.say(f"Stopped {session.stopped}.")
        finally:
            disarm()
            removed = removal.run(max(60.0, ends - time.monotonic()))
    text = report.write(session, removed, items=findings.items(), why_not=why_not)
    return session, removed, text


def _best_effort(say: Callable[[str], None]) -> Callable[[str], None]:
    """Go on when nobody hears it: a terminal that was closed, or a pipe, would keep everything from being removed."""

    def said(text: str) -> None:
        with suppress(OSError):
            say(text)

    return said


def _removal_seconds(minutes: float) -> float:
    return 60 * min(REMOVAL_MINUTES, minutes / 3)


def _carry_out(session: Session, stage: Stage) -> Result:
    """Carry out one stage, unless one that it needs failed."""
    began, told, problem = time.monotonic(), "", ""
    try:
        if not session.done(*stage.needs):
            problem = f"not tried: it needs {' and '.join(stage.needs)}"
        else:
            session.say(f"{stage.name} ...")
            with told_by_azure(stage.name):
                told = stage.run(session)
    except CreditDefaultError as error:
        # Its own words leave out Azure's, which may hold a signed address.
        cause = getattr(error.__cause__, "message", None)
        problem = f"{error}" + (f" ({session.scrub(str(cause)).strip().partition(chr(10))[0]})" if cause else "")
    except Exception as error:  # noqa: BLE001 - the next one is tried all the same, and the report says what happened
        problem = f"{type(error).__name__}: {error}"
    except SystemExit:
        problem = "broken off"
        raise
    finally:
        result = Result(stage.name, told, problem, time.monotonic() - began)
        session.results.append(result)
        session.say(f"{stage.name}: {problem or told or 'done'} ({result.seconds:.0f} s)")
    return result


def _runs(place: AzureTarget) -> set[str]:
    """Return what the names of the jobs of this check's runs have in common with their runs."""
    with opened(place.settings) as instance:
        return {run_part(run.root_run_id or run.run_id) for run in instance.get_runs(dg.RunsFilter())}


@contextmanager
def _bounded(seconds: float) -> Iterator[Callable[[], None]]:
    """Stop what this process does when the time is up, as a signal does: a run is cancelled with its jobs.

    Yields what ends that: from then on signals only say that the removal goes on.
    """
    over = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        if over.is_set():
            with suppress(OSError):
                os.write(2, b"Removing what was made; please wait, it would cost money.\n")
            return
        raise Stopped(128 + number)

    def alarm() -> None:
        # A stage that swallows it is told again.
        wait = seconds
        while not over.wait(wait):
            os.kill(os.getpid(), signal.SIGTERM)
            wait = _AGAIN_SECONDS

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    threading.Thread(target=alarm, daemon=True).start()
    try:
        yield over.set
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
