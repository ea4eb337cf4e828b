"""Options of every request to Azure: a bounded time, and bounded pauses."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse

#: Options of azure-core for every request: a call ends within about a minute, whoever polls decides what then.
REQUEST_OPTIONS: dict[str, Any] = {
    "retry_total": 4,
    "retry_connect": 2,
    "retry_backoff_max": 20,
    "connection_timeout": 10,
    "read_timeout": 30,
}
#: For how long one call waits at most when Azure says by Retry-After how long it should.
LONGEST_PAUSE = 60.0


def bound_pause(response: "PipelineResponse[Any, Any]") -> None:
    """Shorten what an answer says by Retry-After: azure-core would sleep an hour inside one call.

    For azure-core's `raw_response_hook`. A policy for repeating that is handed to `MLClient` would be one object in all
    its pipelines, each of which links it to its own next policy.
    """
    from azure.core.pipeline.policies import RetryPolicy

    told = RetryPolicy().get_retry_after(response)
    if told is not None and told > LONGEST_PAUSE:
        headers = response.http_response.headers
        for name in ("retry-after-ms", "x-ms-retry-after-ms"):
            headers.pop(name, None)
        headers["Retry-After"] = f"{LONGEST_PAUSE:g}"
