"""Faults that a test asks for, and who gets them."""

import re
import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """What happens to the next requests that match.

    Parameters
    ----------
    method
        The method, or ``*`` for all.
    path
        A regular expression that is searched in the path.
    status
        Answered instead of the real answer.
    times
        How many requests get it.
    retry_after
        Seconds, sent as ``Retry-After`` with the status.
    drop
        Close the connection without an answer; the request is not carried out.
    lose
        Carry the request out, then close the connection without an answer.
    delay
        Seconds to wait first.
    host
        A regular expression that is searched in the host; every host when left out.
    code
        Azure's word for the status.
    signed
        Only requests with a signature in their address, which an account whose keys are off refuses.
    """

    method: str
    path: str
    status: int | None = None
    times: int = 1
    retry_after: float | None = None
    drop: bool = False
    lose: bool = False
    delay: float | None = None
    host: str | None = None
    code: str | None = None
    signed: bool = False

    def fits(self, method: str, host: str, path: str, *, signed: bool) -> bool:
        """Whether this request gets the fault."""
        return (
            self.times > 0
            and self.method in ("*", method)
            and re.search(self.path, path, re.IGNORECASE) is not None
            and (self.host is None or re.search(self.host, host) is not None)
            and (signed or not self.signed)
        )


@dataclass
class JobFault:
    """What happens to jobs whose name matches.

    Parameters
    ----------
    name
        A regular expression that is searched in the job's name.
    state
        ``NotResponding``, ``Paused`` or ``CancelRequested``: the job gets there once it runs, and stays.
    preempt
        How many attempts on a low-priority compute lose their node.
    requeue
        Whether a job that lost its node goes back to the queue by itself; else it ends Failed.
    kill
        How many jobs have their process killed hard.
    queue_seconds
        How long it stays Queued.
    hold
        It stays Running after its process ended.
    """

    name: str
    state: str | None = None
    preempt: int = 0
    requeue: bool = False
    kill: int = 0
    queue_seconds: float = 0
    hold: bool = False


@dataclass
class Faults:
    """Every fault that is waiting."""

    requests: list[Fault] = field(default_factory=list)
    jobs: list[JobFault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: dict[str, Any]) -> None:
        """Inject a fault into requests."""
        with self.lock:
            self.requests.append(Fault(**fault))

    def add_job(self, fault: dict[str, Any]) -> None:
        """Inject a fault into jobs."""
        with self.lock:
            self.jobs.append(JobFault(**fault))

    def take(self, method: str, host: str, path: str, *, signed: bool) -> Fault | None:
        """Return the fault that this request gets, which is then spent once."""
        with self.lock:
            for fault in self.requests:
                if fault.fits(method, host, path, signed=signed):
                    fault.times -= 1
                    return fault
        return None

    def of_job(self, name: str) -> JobFault | None:
        """Return the newest fault for the job: one object, so that whoever acts on it may count it down."""
        with self.lock:
            return next((fault for fault in reversed(self.jobs) if re.search(fault.name, name)), None)

    def clear(self) -> None:
        """Forget every fault."""
        with self.lock:
            self.requests.clear()
            self.jobs.clear()
