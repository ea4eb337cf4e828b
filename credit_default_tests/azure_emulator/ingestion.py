"""Application Insights' ingestion: takes what it is sent and keeps it."""

from credit_default_tests.azure_emulator.azure_errors import bad_request
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State

INGESTION_HOST = "*.in.applicationinsights.azure.com"


def routes(state: State) -> list[Route]:
    """Return the routes of this module. The instrumentation key in each envelope is all the login that there is."""
    del state
    # The second is what opencensus makes of an endpoint that ends in a slash, as the portal shows them all.
    return [Route("POST", path, _track, host=INGESTION_HOST, audiences=()) for path in ("/v2.1/track", "//v2.1/track")]


def _track(call: Call) -> Answer:
    """Keep a list of envelopes; every one must say what it is and for whom."""
    if not isinstance(call.body, list):
        raise bad_request("Expected a JSON array of envelopes.")
    for envelope in call.body:
        if missing := {"name", "time", "iKey", "data"} - envelope.keys():
            raise bad_request(f"An envelope has no {', '.join(sorted(missing))}.")
    with call.state.lock:
        call.state.ingested += call.body
    count = len(call.body)
    return Answer({"itemsReceived": count, "itemsAccepted": count, "errors": []})
