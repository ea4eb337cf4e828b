"""Runs a step over days again after the system killed it, so that one day takes no other along."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from credit_default import settings
from credit_default.core.plurals import plural
from credit_default.core.sentences import sentence
from credit_default.errors import JobFailed, JobKilled, JobTimedOut
from credit_default.ports import DayRejected, StepMessage

#: Retries of a step that does not work on days.
MAX_RETRIES = 2
#: How often a day may end its process when it is alone in it. With the first attempt, in which all days share one
#: process, there are at most two retries.
MAX_KILLS_ALONE = 2

_BY_HAND_ONLY = "until its files change, the day is tried again only by hand"

#: Starts a step for some days and yields what it reports of them.
StartStep = Callable[[Sequence[str]], Iterator[StepMessage]]


@dataclass(frozen=True)
class GivenUp(DayRejected):
    """A day for which a step does not come to an end. It is not tried again by itself until its files change."""


def run_days(start_step: StartStep, days: Sequence[str], *, log: Any) -> Iterator[StepMessage]:
    """Yield what a step reports of days.

    A step that is killed is tried again after a delay (`Settings.retry_delay`), then with each remaining day in a
    process of its own, and once more for the days that were killed again. A step that runs for too long goes on with
    the remaining days in another process, or in one for each when it made none of them; a day that takes too long
    alone is given up.

    Raises
    ------
    JobFailed
        The step failed by itself before the days were parted.
    """
    parts = _Parts(start_step, days, log)
    while parts.waiting or parts.killed:
        if not parts.waiting:
            parts.wait()
        yield from parts.run(parts.waiting.pop(0))


def run_whole(start: Callable[[], Iterator[StepMessage]], *, log: Any) -> Iterator[StepMessage]:
    """Yield what a step reports that does not work on days.

    A step that is killed before it reported anything is tried again after a delay (`Settings.retry_delay`), twice at
    most.
    """
    for retries_left in range(MAX_RETRIES, -1, -1):
        has_reported = False
        try:
            for message in start():
                has_reported = True
                yield message
        except JobKilled as error:
            if has_reported or not retries_left:
                raise
            delay = settings.read().retry_delay
            log.warning(f"{_first_line(error)} In {delay:g} s, it will be tried again.")
            time.sleep(delay)
        else:
            return


class _Parts:
    """The days that still have to be made, parted into processes."""

    def __init__(self, start_step: StartStep, days: Sequence[str], log: Any) -> None:
        self._start_step = start_step
        self._all = list(days)
        self._log = log
        self._kills = Counter[str]()
        self.waiting = [self._all] if days else []
        self.killed: list[str] = []

    def wait(self) -> None:
        """Let some time pass, after which each day that was killed has a process of its own."""
        delay = settings.read().retry_delay
        days = plural(len(self.killed), "day")
        self._log.warning(f"In {delay:g} s, {days} will be tried again, each in a process of its own.")
        time.sleep(delay)
        self.waiting, self.killed = [[day] for day in self.killed], []

    def run(self, days: list[str]) -> Iterator[StepMessage]:
        """Run the step for some days; those that it did not report are waiting then, or killed, or refused."""
        left = list(days)
        try:
            for message in self._start_step(days):
                if message.partition in left:
                    left.remove(message.partition)
                yield message
        except JobKilled as error:
            self._log.warning(f"{sentence(_first_line(error))} {plural(len(left), 'day')} had not been reported.")
            yield from self._part(days, left, error)
        except JobTimedOut as error:
            self._log.warning(_first_line(error))
            if len(left) < len(days):  # it was not stuck, there was much to do
                self.waiting += [left] if left else []
            elif len(days) > 1:
                self.waiting += [[day] for day in left]
            else:
                problem = f"{_first_line(error)}; {_BY_HAND_ONLY}"
                yield from (GivenUp(day, problem, JobTimedOut.__name__) for day in left)
        except JobFailed as error:
            if days == self._all:
                raise
            yield from (DayRejected(day, _first_line(error), type(error).__name__) for day in left)

    def _part(self, days: list[str], left: list[str], error: JobKilled) -> Iterator[GivenUp]:
        for day in left:
            self._kills[day] += len(days) == 1
            if self._kills[day] < MAX_KILLS_ALONE:
                self.killed.append(day)
            else:
                problem = (
                    f"the step was killed {MAX_KILLS_ALONE} times while it worked on this day alone: {error.cause}. "
                    f"Give the machine more memory, or deliver fewer rows; {_BY_HAND_ONLY}"
                )
                yield GivenUp(day, problem, JobKilled.__name__)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
