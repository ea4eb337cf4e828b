"""How long Azure is borne with: answers that fail are asked for again, for a bounded time; uploads have a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from credit_default.errors import JobFailed, StorageError
from credit_default.resources.azure.client.credential import Credential

_Result = TypeVar("_Result")

_UNAUTHORISED = 401
#: For how long work that was interrupted is still waited for.
_INTERRUPTED_SECONDS = 30.0
#: The SDK uploads by signed addresses, and waits for ever when the account refuses them.
SIGNED_UPLOADS_HINT = (
    "If the keys of the account are off and it takes no signed upload, deploy the infrastructure with the parameter "
    "allowSharedKeyAccess set to true."
)
_TRANSIENT = frozenset({_UNAUTHORISED, 408, 429, 500, 502, 503, 504})


class Unreachable(JobFailed):
    """Azure gave no usable answer for longer than it may."""


@dataclass
class RetryPolicy:
    """Asks again what failed, as long as Azure answered anything within the last ``limit`` seconds.

    azure-core itself repeats a request a few times and obeys Retry-After; this begins where that ends.
    """

    credential: Credential
    limit: float
    pause: float

    def ask(self, what: str, question: Callable[[], _Result]) -> _Result:
        """Return the answer to ``question``.

        Raises
        ------
        Unreachable
            There was none in time; ``what`` tells what was wanted.
        """
        deadline = time.monotonic() + self.limit
        while True:
            try:
                return question()
            except Exception as error:
                if not is_transient(error):
                    raise
                if _status(error) == _UNAUTHORISED:
                    self.credential.forget()
                if time.monotonic() + self.pause > deadline:
                    raise Unreachable(
                        f"Azure gave no usable answer for {self.limit:g} s while {what} "
                        f"({type(error).__name__}, status {_status(error) or 'none'}); check the network and "
                        "Azure's service health, or raise CREDIT_DEFAULT_UNREACHABLE_LIMIT"
                    ) from error
            time.sleep(self.pause)


def unless_missing(question: Callable[[], _Result], otherwise: _Result) -> _Result:
    """Return the answer to a question, or something else when Azure has no such thing."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return question()
    except ResourceNotFoundError:
        return otherwise


def is_transient(error: Exception) -> bool:
    """Whether the same question may well be answered a little later."""
    from azure.core.exceptions import IncompleteReadError, ServiceRequestError, ServiceResponseError

    if isinstance(error, StorageError):
        # A container that is not there does not come by waiting; a network that is not there does.
        return isinstance(error.__cause__, Exception) and is_transient(error.__cause__)
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        return True
    return _status(error) in _TRANSIENT


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def within(seconds: float, work: Callable[[threading.Event], _Result], late: Callable[[], Exception]) -> _Result:
    """Do something that may never end, and raise ``late()`` when it takes too long.

    The SDK waits for ever when it uploads into a container that is not there. Its thread cannot be stopped and is
    left behind; it ends with the process. ``work`` is handed an event that is set once nobody waits for it any more:
    if it goes on all the same, it is to undo what it made.
    """
    outcome: list[_Result] = []
    failure: list[BaseException] = []
    given_up = threading.Event()

    def carry_out() -> None:
        try:
            outcome.append(work(given_up))
        except BaseException as error:  # noqa: BLE001 - raised again below, by whoever waits
            failure.append(error)

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except BaseException:
        # Whoever waits was interrupted: most work ends soon, and what it made can be found and undone.
        given_up.set()
        thread.join(min(seconds, _INTERRUPTED_SECONDS))
        raise
    if failure:
        raise failure[0]
    if not outcome:
        given_up.set()
        raise late()
    return outcome[0]


def uploaded(what: str, seconds: float, work: Callable[[], _Result]) -> _Result:
    """Do something for which the SDK uploads files to the workspace's own container, or to that of a registry.

    Raises
    ------
    StorageError
        It takes too long.
    """

    def late() -> StorageError:
        return StorageError(
            f"{what} was not uploaded within {seconds:g} s; check that the container exists in which Azure ML keeps "
            "uploads and that the identity that runs this may write there, or raise CREDIT_DEFAULT_UPLOAD_LIMIT. "
            f"{SIGNED_UPLOADS_HINT}"
        )

    return within(seconds, lambda _: work(), late)
