"""Messages of the commands that use the live model on the spot: without one, and about it."""

from __future__ import annotations

import sys

from credit_default.errors import NotThere
from credit_default.settings import ENDPOINT_NAME, Settings


def nothing_deployed(settings: Settings) -> NotThere:
    """Return the error for an environment in which no model is live."""
    return NotThere(
        f"Nothing is deployed to {ENDPOINT_NAME} in {settings.place}; run `credit-default demo`, or "
        "`credit-default run deploy_model`, or name another home by CREDIT_DEFAULT_HOME"
    )


def write_note(note: str) -> None:
    """Write a note about the model to stderr, beside the result."""
    sys.stderr.write(f"{note}\n")
